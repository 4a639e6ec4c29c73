//! From a rewritten graph to a program.

use super::PlanError;
use super::action::{
    Action, ConvInt8, Copy, Eager, LinearF32, LinearInt8, MaxPoolU8, Quantize, ScaleChannels,
};
use super::format::{Levels, levels_on_edges};
use super::program::{Instruction, Kind, Origin, Program, Value, ValueId};
use crate::Result;
use crate::graph::{Compute, Edge, Graph, ParamId, Step, Weight};
use crate::int8::{Input, QWeight};
use crate::ops::{self, Conv2d, Conv2dInt8, GlobalAvgPool, Pool, Relu};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// Compiles a graph; `names` are those of the parameters that its nodes refer to.
///
/// # Errors
/// [`PlanError`] for a graph without a result or with an op of too many inputs.
pub(super) fn compile(graph: &Graph, names: &BTreeMap<ParamId, String>) -> Result<Program> {
    let output = graph.output().ok_or(PlanError::NoOutput)?;
    let mut compiler = Compiler {
        graph,
        names,
        carried: levels_on_edges(graph)?,
        value_of: Vec::with_capacity(graph.nodes().len()),
        quantized: Vec::new(),
        values: Vec::new(),
        instructions: Vec::new(),
    };
    for edge in graph.edges() {
        let value = compiler.compile(edge)?;
        compiler.value_of.push(value);
    }
    let (values, instructions) = (compiler.values, compiler.instructions);
    let (inputs, output) = (graph.inputs().len(), compiler.value_of[output.index()]);
    let mut program = Program { values, instructions, inputs, output };
    if !matches!(program.values[program.root(output)].origin, Origin::Computed) {
        program.values.push(Value { origin: Origin::Computed, kind: Kind::Plain });
        program.output = program.values.len() - 1;
        program.instructions.push(Instruction {
            action: Box::new(Copy),
            inputs: vec![output],
            output: program.output,
            weight: None,
        });
    }
    Ok(program)
}

/// The levels of an edge that were quantized for a reader, and can serve others.
struct QuantizedEdge {
    edge: Edge,
    input: Input,
    images: bool,
    value: ValueId,
}

struct Compiler<'a> {
    graph: &'a Graph,
    names: &'a BTreeMap<ParamId, String>,
    carried: Vec<Option<Levels>>,
    value_of: Vec<ValueId>,
    quantized: Vec<QuantizedEdge>,
    values: Vec<Value>,
    instructions: Vec<Instruction>,
}

impl Compiler<'_> {
    /// Adds what computes a node, and returns its value.
    fn compile(&mut self, edge: Edge) -> Result<ValueId> {
        let graph = self.graph;
        let node = graph.node(edge);
        let carried = self.carried[edge.index()];
        let layout = carried.map_or(Layout::Nchw, |levels| levels.layout);
        match &node.step {
            Step::Input => {
                let index = graph.inputs().iter().position(|&input| input == edge);
                let origin = Origin::Input(index.unwrap_or_default());
                Ok(self.value(origin, Kind::Plain))
            }
            Step::Constant(value) => {
                Ok(self.value(Origin::Constant(value.contiguous()?), Kind::Plain))
            }
            Step::Reshape(op) => {
                let of = self.value_of[node.inputs[0].index()];
                let kind = self.values[of].kind;
                Ok(self.value(Origin::Reshaped(of, op.clone()), kind))
            }
            Step::Linear { weight: Weight::Int8(weight), bias, relu } => {
                let bias = bias.as_ref();
                if weight.input() == Input::Float {
                    return self.eager(edge, ops::LinearInt8(weight.clone()), bias, *relu);
                }
                let x = self.levels_for(edge, weight, false);
                let action = LinearInt8::new(weight, bias, *relu)?;
                Ok(self.instruction(edge, Box::new(action), vec![x], kind_of(carried)))
            }
            Step::Conv2d { weight: Weight::Int8(weight), bias, geometry, relu } => {
                let (bias, geometry) = (bias.as_ref(), *geometry);
                if weight.input() == Input::Float {
                    let op = Conv2dInt8 { weight: weight.clone(), geometry };
                    return self.eager(edge, op, bias, *relu);
                }
                let x = self.levels_for(edge, weight, true);
                let action = ConvInt8::new(weight, geometry, bias, *relu, layout)?;
                Ok(self.instruction(edge, Box::new(action), vec![x], kind_of(carried)))
            }
            Step::MaxPool2d(geometry) => {
                let geometry = *geometry;
                let x = self.value_of[node.inputs[0].index()];
                if self.values[x].kind == Kind::Plain {
                    return self.eager(edge, Pool::Max(geometry), [], false);
                }
                let action = MaxPoolU8 { geometry, layout };
                Ok(self.instruction(edge, Box::new(action), vec![x], kind_of(carried)))
            }
            Step::Linear { weight: Weight::F32(weight), bias, relu } => {
                let inputs = self.plain_inputs(edge);
                let action = LinearF32::new(weight, bias.as_ref(), *relu)?;
                Ok(self.instruction(edge, Box::new(action), inputs, Kind::Plain))
            }
            Step::Conv2d { weight: Weight::F32(weight), bias, geometry, relu } => {
                let op = Conv2d { geometry: *geometry };
                self.eager(edge, op, [weight].into_iter().chain(bias), *relu)
            }
            Step::BatchNorm2d(norm) => {
                let inputs = self.plain_inputs(edge);
                let action = ScaleChannels(norm.affine()?);
                Ok(self.instruction(edge, Box::new(action), inputs, Kind::Plain))
            }
            Step::AvgPool2d(geometry) => self.eager(edge, Pool::Avg(*geometry), [], false),
            Step::GlobalAvgPool2d => self.eager(edge, GlobalAvgPool, [], false),
            Step::Relu => self.eager(edge, Relu, [], false),
            Step::Compute(op) => self.eager_op(edge, op.clone(), &[], false),
        }
    }

    fn value(&mut self, origin: Origin, kind: Kind) -> ValueId {
        self.values.push(Value { origin, kind });
        self.values.len() - 1
    }

    fn instruction(
        &mut self,
        edge: Edge,
        action: Box<dyn Action>,
        inputs: Vec<ValueId>,
        kind: Kind,
    ) -> ValueId {
        let output = self.value(Origin::Computed, kind);
        let mut params = self.graph.node(edge).params.iter();
        let weight = params.find_map(|id| self.names.get(id)).cloned();
        self.instructions.push(Instruction { action, inputs, output, weight });
        output
    }

    fn plain_inputs(&self, edge: Edge) -> Vec<ValueId> {
        self.graph.node(edge).inputs.iter().map(|input| self.value_of[input.index()]).collect()
    }

    fn eager<'t>(
        &mut self,
        edge: Edge,
        op: impl Compute,
        constants: impl IntoIterator<Item = &'t Tensor>,
        relu: bool,
    ) -> Result<ValueId> {
        let constants: Vec<&Tensor> = constants.into_iter().collect();
        self.eager_op(edge, Arc::new(op), &constants, relu)
    }

    fn eager_op(
        &mut self,
        edge: Edge,
        op: Arc<dyn Compute>,
        constants: &[&Tensor],
        relu: bool,
    ) -> Result<ValueId> {
        let inputs = self.plain_inputs(edge);
        let action = Eager::new(op, inputs.len(), constants, relu)?;
        Ok(self.instruction(edge, Box::new(action), inputs, Kind::Plain))
    }

    /// The levels that the int8 layer at `edge` reads, quantized first unless they are there.
    fn levels_for(&mut self, edge: Edge, weight: &QWeight, images: bool) -> ValueId {
        let source = self.graph.node(edge).inputs[0];
        let x = self.value_of[source.index()];
        if self.values[x].kind != Kind::Plain {
            return x;
        }
        let input = weight.input();
        let same = |q: &&QuantizedEdge| (q.edge, q.input, q.images) == (source, input, images);
        if let Some(quantized) = self.quantized.iter().find(same) {
            return quantized.value;
        }
        let kind = match input {
            Input::Static(params) => Kind::Levels(params),
            Input::Dynamic | Input::Float => Kind::RowLevels,
        };
        let action = Box::new(Quantize { input, images });
        let value = self.instruction(edge, action, vec![x], kind);
        self.quantized.push(QuantizedEdge { edge: source, input, images, value });
        value
    }
}

fn kind_of(carried: Option<Levels>) -> Kind {
    carried.map_or(Kind::Plain, |levels| Kind::Levels(levels.params))
}
