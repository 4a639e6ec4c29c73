//! From a rewritten graph to a program.

use super::PlanError;
use super::action::{
    Action, BetweenLevels, ConvF32, ConvInt8, Copy, Dequantize, Eager, LinearF32, LinearInt8,
    Quantize, ScaleChannels, ToNchw,
};
use super::format::{Format, formats};
use super::program::{Instruction, Origin, Program, Value, ValueId, root};
use super::rewrite::ThenRelu;
use crate::Result;
use crate::graph::{Bounds, Compute, Edge, Graph, Orders, ParamId, Properties, Step, Weight};
use crate::int8::{Encoding, QParams};
use crate::ops::{self, Conv2dInt8};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch_kernels::Isa;
use tinytorch_kernels::int8::Layout;

/// Compiles a graph; `names` are those of the parameters that its nodes refer to. Float weights are packed on
/// `isa`.
///
/// # Errors
/// [`PlanError`] for a graph without a result.
pub(super) fn compile(
    graph: &Graph,
    names: &BTreeMap<ParamId, String>,
    isa: Isa,
) -> Result<Program> {
    if graph.outputs().is_empty() {
        return Err(PlanError::NoOutput.into());
    }
    let mut compiler = Compiler {
        graph,
        names,
        isa,
        formats: formats(graph)?,
        value_of: Vec::with_capacity(graph.nodes().len()),
        converted: Vec::new(),
        values: Vec::new(),
        instructions: Vec::new(),
    };
    for edge in graph.firsts() {
        let value = compiler.compile(edge)?;
        // The other outputs of a node follow its first.
        let outputs = graph.node(edge).step.output_count();
        compiler.value_of.push((value..value + outputs).collect());
    }
    let outputs = graph.outputs().iter();
    let results = outputs.map(|&output| compiler.result(output)).collect::<Result<Vec<_>>>()?;
    let Compiler { values, instructions, .. } = compiler;
    Ok(Program { values, instructions, inputs: graph.inputs().len(), results })
}

/// An edge's values in another form, made for one reader, which can serve others.
struct Converted {
    value: ValueId,
    from: ValueId,
    /// How they are quantized, and in which order images are read; `None` for floats in another order.
    quantized: Option<(Encoding, Option<Layout>)>,
}

struct Compiler<'a> {
    graph: &'a Graph,
    names: &'a BTreeMap<ParamId, String>,
    isa: Isa,
    formats: Vec<Format>,
    /// The values of each node's outputs.
    value_of: Vec<Vec<ValueId>>,
    converted: Vec<Converted>,
    values: Vec<Value>,
    instructions: Vec<Instruction>,
}

impl Compiler<'_> {
    /// Adds what computes a node, and returns its value.
    fn compile(&mut self, edge: Edge) -> Result<ValueId> {
        let graph = self.graph;
        let node = graph.node(edge);
        let format = self.formats[edge.node()];
        match &node.step {
            Step::Input => {
                let index = graph.inputs().iter().position(|&input| input == edge);
                Ok(self.value(Origin::Input(index.unwrap_or_default()), format))
            }
            Step::Constant(value) => {
                let value = self.value(Origin::Constant(value.contiguous()?), format);
                self.values[value].is_param = !node.params.is_empty();
                Ok(value)
            }
            Step::Linear { weight: Weight::Int8(weight), bias, bounds } => {
                let bias = bias.as_ref();
                if weight.input() == Encoding::F32 {
                    return self.op_by_op(
                        edge,
                        ops::LinearInt8(weight.clone()),
                        bias,
                        *bounds == Bounds::POSITIVE,
                    );
                }
                let x = self.levels(edge, weight.input())?;
                let action = LinearInt8::new(weight, bias, *bounds == Bounds::POSITIVE)?;
                Ok(self.instruction(edge, Box::new(action), vec![x], format))
            }
            Step::Conv2d { weight: Weight::Int8(weight), bias, geometry, bounds } => {
                let (bias, geometry) = (bias.as_ref(), *geometry);
                if weight.input() == Encoding::F32 {
                    let op = Conv2dInt8 { weight: weight.clone(), geometry };
                    return self.op_by_op(edge, op, bias, *bounds == Bounds::POSITIVE);
                }
                let mut inputs = vec![self.levels(edge, weight.input())?];
                for added in self.inputs(edge).split_off(1) {
                    inputs.push(self.in_layout(edge, added, format.layout));
                }
                let (adds, layout) = (inputs.len() > 1, format.layout);
                let action = ConvInt8::new(
                    weight,
                    geometry,
                    bias,
                    adds,
                    *bounds == Bounds::POSITIVE,
                    layout,
                )?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Linear { weight: Weight::F32(weight), bias, bounds } => {
                let inputs = self.plain_inputs(edge);
                let action = LinearF32::new(self.isa, weight, bias.as_ref(), *bounds)?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Conv2d { weight: Weight::F32(weight), bias, geometry, bounds } => {
                let inputs = self.plain_inputs(edge);
                let (bias, adds) = (bias.as_ref(), inputs.len() > 1);
                let action = ConvF32::new(self.isa, weight, *geometry, bias, adds, *bounds)?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::BatchNorm2d(norm) => {
                let inputs = self.plain_inputs(edge);
                let action = ScaleChannels(norm.affine()?);
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Quantize { encoding, images } => Ok(self.quantize(edge, *encoding, *images)),
            Step::Dequantize(params) => {
                let x = self.bytes(edge, *params)?;
                let action = Dequantize(*params);
                Ok(self.instruction(edge, Box::new(action), vec![x], format))
            }
            Step::BetweenLevels { op, inputs, output } => {
                for (input, &params) in node.edges().zip(inputs) {
                    self.check_bytes(input, params)?;
                }
                let action = BetweenLevels::new(op.clone(), inputs, *output);
                let inputs = self.inputs(edge);
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Compute(op) if op.properties().reshapes && op.output_count() == 1 => {
                let inputs: Vec<Option<ValueId>> = node
                    .inputs
                    .iter()
                    .map(|input| input.map(|input| self.value_at(input)))
                    .collect();
                let [of, ..] = self.plain_inputs(edge)[..] else {
                    return self.eager(edge, op.clone(), None);
                };
                let inputs = [Some(of)].into_iter().chain(inputs.into_iter().skip(1)).collect();
                Ok(self.value(Origin::Reshaped { of, op: op.clone(), inputs }, format))
            }
            Step::Compute(op) => self.eager(edge, op.clone(), None),
        }
    }

    /// The value of a result of the graph, which no step reads and no other result is.
    fn result(&mut self, output: Edge) -> Result<ValueId> {
        let value = self.value_at(output);
        let at = root(&self.values, value);
        if self.values[at].encoding != Encoding::F32 {
            return Err(PlanError::EncodedOutput.into());
        }
        let is_read = |i: &Instruction| i.inputs.iter().any(|&x| root(&self.values, x) == at);
        let is_it = |output: &&Edge| root(&self.values, self.value_at(**output)) == at;
        let is_own = matches!(self.values[at].origin, Origin::Computed)
            && !self.instructions.iter().any(is_read)
            && self.graph.outputs().iter().filter(is_it).count() == 1;
        Ok(match is_own {
            true => value,
            false => self.instruction(output, Box::new(Copy), vec![value], Format::PLAIN),
        })
    }

    fn value_at(&self, edge: Edge) -> ValueId {
        self.value_of[edge.node()][edge.output()]
    }

    fn value(&mut self, origin: Origin, format: Format) -> ValueId {
        let Format { encoding, layout } = format;
        self.values.push(Value { origin, encoding, layout, is_param: false });
        self.values.len() - 1
    }

    fn instruction(
        &mut self,
        edge: Edge,
        action: Box<dyn Action>,
        inputs: Vec<ValueId>,
        format: Format,
    ) -> ValueId {
        self.instruction_of(edge, action, inputs, format, 1)
    }

    /// Adds an instruction of several outputs, and returns the first; the others follow it.
    fn instruction_of(
        &mut self,
        edge: Edge,
        action: Box<dyn Action>,
        inputs: Vec<ValueId>,
        format: Format,
        count: usize,
    ) -> ValueId {
        let first = self.values.len();
        let outputs = (0..count).map(|_| self.value(Origin::Computed, format)).collect();
        let mut params = self.graph.node(edge).params.iter();
        let weight = params.find_map(|id| self.names.get(id)).cloned();
        self.instructions.push(Instruction { action, inputs, outputs, weight });
        first
    }

    /// A layer whose activation stays float, as eager execution runs it.
    fn op_by_op(
        &mut self,
        edge: Edge,
        op: impl Compute,
        bias: Option<&Tensor>,
        relu: bool,
    ) -> Result<ValueId> {
        let op: Arc<dyn Compute> = Arc::new(op);
        let op = if relu { Arc::new(ThenRelu(op)) } else { op };
        self.eager(edge, op, bias)
    }

    fn eager(
        &mut self,
        edge: Edge,
        op: Arc<dyn Compute>,
        constant: Option<&Tensor>,
    ) -> Result<ValueId> {
        let format = self.formats[edge.node()];
        let Properties { orders, .. } = op.properties();
        let inputs = match orders {
            Orders::AlikeOrTurned => self.inputs(edge),
            _ => self.inputs_in(edge, format.layout),
        };
        let read = inputs.first().map_or(Layout::Nchw, |&x| self.values[x].layout);
        let read = if orders == Orders::AlikeOrTurned { read } else { format.layout };
        let node = self.graph.node(edge);
        let are_there: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
        let count = op.output_count();
        let action = Eager::new(op, &are_there, constant, [read, format.layout])?;
        Ok(self.instruction_of(edge, Box::new(action), inputs, format, count))
    }

    /// What the node at `edge` reads, without optional inputs that are left out.
    fn inputs(&self, edge: Edge) -> Vec<ValueId> {
        self.graph.node(edge).edges().map(|input| self.value_at(input)).collect()
    }

    /// What the node at `edge` reads, in this order.
    fn inputs_in(&mut self, edge: Edge, layout: Layout) -> Vec<ValueId> {
        let inputs = self.inputs(edge);
        inputs.into_iter().map(|x| self.in_layout(edge, x, layout)).collect()
    }

    /// A value that `reader` reads, in this order; it is that already unless it is the plain one.
    fn in_layout(&mut self, reader: Edge, x: ValueId, layout: Layout) -> ValueId {
        match layout {
            Layout::Nhwc => x,
            Layout::Nchw => self.plain(reader, x),
        }
    }

    /// What the node at `edge` reads, in the plain order.
    fn plain_inputs(&mut self, edge: Edge) -> Vec<ValueId> {
        self.inputs_in(edge, Layout::Nchw)
    }

    fn plain(&mut self, reader: Edge, x: ValueId) -> ValueId {
        if self.values[x].layout == Layout::Nchw {
            return x;
        }
        self.converted(x, None, |compiler| {
            compiler.instruction(reader, Box::new(ToNchw), vec![x], Format::PLAIN)
        })
    }

    /// The levels of what the node at `edge` reads, unless an earlier step gives them already.
    fn quantize(&mut self, edge: Edge, encoding: Encoding, images: bool) -> ValueId {
        let mut x = self.inputs(edge)[0];
        if self.values[x].encoding != Encoding::F32 {
            return x;
        }
        if !images {
            x = self.plain(edge, x);
        }
        let layout = images.then_some(self.values[x].layout);
        // The step is named after the layer that it is for.
        let reader = self.graph.readers(edge).next().unwrap_or(edge);
        let format = self.formats[edge.node()];
        self.converted(x, Some((encoding, layout)), |compiler| {
            let action = Box::new(Quantize { input: encoding, images: layout });
            compiler.instruction(reader, action, vec![x], format)
        })
    }

    /// The levels that the int8 layer at `edge` reads.
    fn levels(&self, edge: Edge, expected: Encoding) -> Result<ValueId> {
        let x = self.inputs(edge)[0];
        match self.values[x].encoding {
            Encoding::F32 => Err(PlanError::NotQuantized { expected }.into()),
            _ => Ok(x),
        }
    }

    /// The bytes that the node at `edge` turns into floats: levels of these parameters, or bytes from
    /// outside.
    fn bytes(&self, edge: Edge, params: QParams) -> Result<ValueId> {
        self.check_bytes(self.graph.node(edge).edges().next().unwrap_or(edge), params)?;
        Ok(self.inputs(edge)[0])
    }

    fn check_bytes(&self, input: Edge, params: QParams) -> Result<()> {
        let value = &self.values[root(&self.values, self.value_at(input))];
        let expected = Encoding::Static(params);
        let is_outside = matches!(value.origin, Origin::Input(_) | Origin::Constant(_));
        match value.encoding {
            Encoding::F32 if is_outside => Ok(()),
            encoding if encoding == expected && value.layout == Layout::Nchw => Ok(()),
            _ => Err(PlanError::NotQuantized { expected }.into()),
        }
    }

    /// The value that `convert` makes of `from`, unless an earlier reader has had it made.
    fn converted(
        &mut self,
        from: ValueId,
        quantized: Option<(Encoding, Option<Layout>)>,
        convert: impl FnOnce(&mut Self) -> ValueId,
    ) -> ValueId {
        let same = |other: &&Converted| other.from == from && other.quantized == quantized;
        if let Some(earlier) = self.converted.iter().find(same) {
            return earlier.value;
        }
        let value = convert(self);
        self.converted.push(Converted { value, from, quantized });
        value
    }
}
