//! From a rewritten graph to a program.

use super::PlanError;
use super::action::{
    Action, ConvF32, ConvInt8, Copy, Eager, LinearF32, LinearInt8, MaxPool, PadShortcut, Quantize,
    ScaleChannels, ToNchw,
};
use super::format::{Format, formats};
use super::program::{Instruction, Kind, Origin, Program, Value, ValueId, root};
use super::rewrite::ThenRelu;
use crate::Result;
use crate::graph::{Compute, Edge, Graph, ParamId, Step, Weight};
use crate::int8::{Encoding, Int8Weight};
use crate::ops::{self, Conv2dInt8, GlobalAvgPool, Pool, Relu};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;
use tinytorch_kernels::pool::PoolOrder;

/// Compiles a graph; `names` are those of the parameters that its nodes refer to.
///
/// # Errors
/// [`PlanError`] for a graph without a result or with an op of too many inputs.
pub(super) fn compile(graph: &Graph, names: &BTreeMap<ParamId, String>) -> Result<Program> {
    let output = graph.output().ok_or(PlanError::NoOutput)?;
    let mut compiler = Compiler {
        graph,
        names,
        formats: formats(graph)?,
        value_of: Vec::with_capacity(graph.nodes().len()),
        converted: Vec::new(),
        values: Vec::new(),
        instructions: Vec::new(),
    };
    for edge in graph.edges() {
        let value = compiler.compile(edge)?;
        compiler.value_of.push(value);
    }
    let mut value = compiler.value_of[output.index()];
    if !matches!(compiler.values[root(&compiler.values, value)].origin, Origin::Computed) {
        value = compiler.instruction(output, Box::new(Copy), vec![value], Format::PLAIN);
    }
    let Compiler { values, instructions, .. } = compiler;
    Ok(Program { values, instructions, inputs: graph.inputs().len(), output: value })
}

/// An edge's values in another form, made for one reader, which can serve others.
struct Converted {
    value: ValueId,
    from: ValueId,
    /// How they are quantized, and for what; `None` for floats in another order.
    quantized: Option<(Encoding, Option<Layout>)>,
}

struct Compiler<'a> {
    graph: &'a Graph,
    names: &'a BTreeMap<ParamId, String>,
    formats: Vec<Format>,
    value_of: Vec<ValueId>,
    converted: Vec<Converted>,
    values: Vec<Value>,
    instructions: Vec<Instruction>,
}

impl Compiler<'_> {
    /// Adds what computes a node, and returns its value.
    fn compile(&mut self, edge: Edge) -> Result<ValueId> {
        let graph = self.graph;
        let node = graph.node(edge);
        let format = self.formats[edge.index()];
        match &node.step {
            Step::Input => {
                let index = graph.inputs().iter().position(|&input| input == edge);
                Ok(self.value(Origin::Input(index.unwrap_or_default()), format))
            }
            Step::Constant(value) => Ok(self.value(Origin::Constant(value.contiguous()?), format)),
            Step::Reshape(op) => {
                let of = self.plain_inputs(edge)[0];
                Ok(self.value(Origin::Reshaped(of, op.clone()), format))
            }
            Step::Linear { weight: Weight::Int8(weight), bias, relu } => {
                let bias = bias.as_ref();
                if weight.input() == Encoding::F32 {
                    return self.op_by_op(edge, ops::LinearInt8(weight.clone()), bias, *relu);
                }
                let x = self.levels_for(edge, weight, false);
                let action = LinearInt8::new(weight, bias, *relu)?;
                Ok(self.instruction(edge, Box::new(action), vec![x], format))
            }
            Step::Conv2d { weight: Weight::Int8(weight), bias, geometry, relu } => {
                let (bias, geometry) = (bias.as_ref(), *geometry);
                if weight.input() == Encoding::F32 {
                    let op = Conv2dInt8 { weight: weight.clone(), geometry };
                    return self.op_by_op(edge, op, bias, *relu);
                }
                let mut inputs = vec![self.levels_for(edge, weight, true)];
                for added in self.inputs(edge).split_off(1) {
                    inputs.push(self.in_layout(edge, added, format.layout));
                }
                let (adds, layout) = (inputs.len() > 1, format.layout);
                let action = ConvInt8::new(weight, geometry, bias, adds, *relu, layout)?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Linear { weight: Weight::F32(weight), bias, relu } => {
                let inputs = self.plain_inputs(edge);
                let action = LinearF32::new(weight, bias.as_ref(), *relu)?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::Conv2d { weight: Weight::F32(weight), bias, geometry, relu } => {
                let inputs = self.plain_inputs(edge);
                let action = ConvF32::new(weight, *geometry, bias.as_ref(), *relu)?;
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::MaxPool2d(geometry) => {
                let x = self.value_of[node.inputs[0].index()];
                let order = match (self.values[x].layout, format.layout) {
                    (Layout::Nhwc, Layout::Nhwc) => PoolOrder::Nhwc,
                    (Layout::Nhwc, Layout::Nchw) => PoolOrder::NhwcToNchw,
                    (Layout::Nchw, _) => PoolOrder::Nchw,
                };
                let action = MaxPool { geometry: *geometry, order };
                Ok(self.instruction(edge, Box::new(action), vec![x], format))
            }
            Step::PadShortcut(geometry) => {
                let inputs = self.inputs_in(edge, format.layout);
                let action = PadShortcut { geometry: *geometry, layout: format.layout };
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::BatchNorm2d(norm) => {
                let inputs = self.plain_inputs(edge);
                let action = ScaleChannels(norm.affine()?);
                Ok(self.instruction(edge, Box::new(action), inputs, format))
            }
            Step::AvgPool2d(geometry) => self.eager(edge, Arc::new(Pool::Avg(*geometry)), &[]),
            Step::GlobalAvgPool2d => self.eager(edge, Arc::new(GlobalAvgPool), &[]),
            Step::Relu => self.eager(edge, Arc::new(Relu), &[]),
            Step::Compute(op) => self.eager(edge, op.clone(), &[]),
        }
    }

    fn value(&mut self, origin: Origin, format: Format) -> ValueId {
        let kind = format.levels.map_or(Kind::Plain, Kind::Levels);
        self.values.push(Value { origin, kind, layout: format.layout });
        self.values.len() - 1
    }

    fn instruction(
        &mut self,
        edge: Edge,
        action: Box<dyn Action>,
        inputs: Vec<ValueId>,
        format: Format,
    ) -> ValueId {
        let output = self.value(Origin::Computed, format);
        let mut params = self.graph.node(edge).params.iter();
        let weight = params.find_map(|id| self.names.get(id)).cloned();
        self.instructions.push(Instruction { action, inputs, output, weight });
        output
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
        self.eager(edge, op, &bias.into_iter().collect::<Vec<_>>())
    }

    fn eager(
        &mut self,
        edge: Edge,
        op: Arc<dyn Compute>,
        constants: &[&Tensor],
    ) -> Result<ValueId> {
        let format = self.formats[edge.index()];
        let inputs = self.inputs_in(edge, format.layout);
        let action = Eager::new(op, inputs.len(), constants, format.layout)?;
        Ok(self.instruction(edge, Box::new(action), inputs, format))
    }

    fn inputs(&self, edge: Edge) -> Vec<ValueId> {
        self.graph.node(edge).inputs.iter().map(|input| self.value_of[input.index()]).collect()
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

    /// The levels that the int8 layer at `edge` reads, quantized first unless they are there.
    fn levels_for(&mut self, edge: Edge, weight: &Int8Weight, images: bool) -> ValueId {
        let mut x = self.value_of[self.graph.node(edge).inputs[0].index()];
        if self.values[x].kind != Kind::Plain {
            return x;
        }
        if !images {
            x = self.plain(edge, x);
        }
        let input = weight.input();
        let images = images.then_some(self.values[x].layout);
        self.converted(x, Some((input, images)), |compiler| {
            let action = Box::new(Quantize { input, images });
            let layout = if images.is_some() { Layout::Nhwc } else { Layout::Nchw };
            let value =
                compiler.instruction(edge, action, vec![x], Format { levels: None, layout });
            compiler.values[value].kind = match input {
                Encoding::Static(params) => Kind::Levels(params),
                // Images are quantized to 8 bits.
                Encoding::PerRow16 if images.is_none() => Kind::WideRowLevels,
                Encoding::PerRow | Encoding::PerRow16 | Encoding::F32 => Kind::RowLevels,
            };
            value
        })
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
