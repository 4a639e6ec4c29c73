//! A model that was built here as the ONNX graph that it computes.
//!
//! A pass of the model is traced, and every step written as the operators of ONNX that mean it, over parameters under
//! the names that the model gives them. What comes of it holds the model's own parameters, int8 ones as such.

mod attention;
mod functions;
mod layers;
mod shapes;
mod writer;

use crate::OnnxModel;
use crate::int8::integer;
use crate::tensor::element;
use prost::Message;
use shapes::size_of;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch::models::{Model, Sample};
use tinytorch_core::autograd::{AutogradError, Ctx, Param, Var};
use tinytorch_core::graph::{Compute, Edge, Graph, Node, ParamId, Step};
use tinytorch_core::module::Module;
use tinytorch_core::ops::{
    Attention, Binary, Cat, GlobalAvgPool, IsNot, Lookup, LookupInt8, MatMul, MaxAxis, Normalize,
    PadShortcut, Pool, Rearrange, Reshape, Rotate, RowNorm, Softmax, SumAxis, WithinContext,
};
use tinytorch_core::tensor::Shape;
use tinytorch_core::{Result, Tensor};
use writer::{Examples, Value, Writer, untranslated};

/// Samples of the passes whose shapes are looked at: more than one, so that a batch is told from an axis of size 1, and
/// different, so that it is told from one of a fixed size.
const BATCHES: [usize; 2] = [2, 3];

/// Tokens of the first pass, if the model takes as many.
const TOKENS: usize = 8;

impl OnnxModel {
    /// A model that was built here as the ONNX graph that it computes, with its parameters as they are now.
    ///
    /// # Errors
    /// [`OnnxError::Untranslated`](crate::OnnxError::Untranslated) for a step that is not written as ONNX's operators, and
    /// what the model itself reports.
    pub fn of(model: &dyn Model) -> Result<OnnxModel> {
        let samples = model.samples()?;
        let examples = samples.iter().map(examples).collect::<Result<Vec<Examples>>>()?;
        let mut ctx = Ctx::trace();
        let inputs: Vec<Var> = examples.iter().map(|[first, _]| ctx.input(first)).collect();
        let outputs = model.forward_list(&inputs, &mut ctx)?;
        let graph = ctx.into_tape().ok_or(AutogradError::Untracked)?.lower(&outputs)?;
        let params = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
        let params: BTreeMap<ParamId, String> = params.collect();
        let mut writer = Writer::new(&graph, params, positions(&samples));
        for (i, (edge, examples)) in graph.inputs().iter().zip(&examples).enumerate() {
            let name = match &model.input_names()[..] {
                [] if i == 0 => "input".to_string(),
                names => names.get(i).cloned().unwrap_or_else(|| format!("input_{i}")),
            };
            writer.begin(*edge, &name, examples);
        }
        for edge in graph.firsts() {
            writer.step(&graph, edge)?;
        }
        let mut frame = writer.finish()?;
        // In the model's own order parameters have its digest, by which an audit knows the model that was quantized.
        let places: BTreeMap<String, usize> =
            model.named_params().into_iter().zip(0..).map(|((name, _), i)| (name, i)).collect();
        let place = |name: &String| places.get(name).copied().unwrap_or(usize::MAX);
        if let Some(graph) = &mut frame.graph {
            graph.initializer.sort_by_key(|constant| place(&constant.name));
        }
        let mut translated = OnnxModel::from_frame(frame.encode_to_vec())?;
        let own: BTreeMap<String, &Param> = model.named_params().into_iter().collect();
        for (name, param) in translated.named_params_mut() {
            if let Some(own) = own.get(&name) {
                param.store(own.stored().clone());
            }
        }
        Ok(translated)
    }
}

/// Two batches of a sample, whose sizes differ where they may.
fn examples(sample: &Sample) -> Result<Examples> {
    let [first, second] = BATCHES;
    Ok(match sample {
        Sample::Ids { context, .. } => {
            let tokens = (*context).min(TOKENS);
            let fewer = tokens.saturating_sub(1).max(1);
            let of = |batch, tokens| sample.fill(&Shape::new(&[batch, tokens])?);
            [of(first, tokens)?, of(second, fewer)?]
        }
        _ => [sample.batch(first)?, sample.batch(second)?],
    })
}

/// The longest sequence that a model takes.
fn positions(samples: &[Sample]) -> usize {
    let context = |sample: &Sample| match sample {
        Sample::Ids { context, .. } => *context,
        Sample::Values(shape) => shape.iter().copied().max().unwrap_or(0),
        _ => 0,
    };
    samples.iter().map(context).max().unwrap_or(0)
}

impl Writer<'_> {
    /// Writes the step at an edge.
    fn step(&mut self, graph: &Graph, edge: Edge) -> Result<()> {
        let node = graph.node(edge);
        if matches!(node.step, Step::Input | Step::Constant(_)) {
            return Ok(());
        }
        let x = self.input(node, 0)?;
        let name = match &node.step {
            // How a layer's input is quantized is a property of its weight.
            Step::Quantize { .. } => x.name,
            Step::Linear { .. } => self.linear(node, &x)?,
            Step::Conv2d { .. } => self.convolution(node, &x)?,
            Step::BatchNorm2d(norm) => self.batch_norm(node, norm, &x)?,
            Step::Compute(op) => self.compute(edge, op, &x, node)?,
            _ => return Err(untranslated("a step of a plan").into()),
        };
        self.give(edge, name)
    }

    /// A step that is an op as it is.
    fn compute(
        &mut self,
        edge: Edge,
        op: &Arc<dyn Compute>,
        x: &Value,
        node: &Node,
    ) -> Result<String> {
        let any: &dyn Any = &**op;
        if let Some(name) = self.function(any, x)? {
            return Ok(name);
        }
        if let Some(name) = self.of_axes(any, x, node)? {
            return Ok(name);
        }
        if let Some(binary) = any.downcast_ref::<Binary>() {
            let other = self.input(node, 1)?.name;
            return Ok(self.write(binary_name(*binary), [x.name.clone(), other], Vec::new()));
        }
        if let Some(how) = any.downcast_ref::<Reshape>() {
            return self.reshape(edge, how, x);
        }
        if let Some(how) = any.downcast_ref::<Rearrange>() {
            return self.rearrange(how, x);
        }
        if let Some(how) = any.downcast_ref::<Attention>() {
            return self.attention(node, *how);
        }
        if let Some(how) = any.downcast_ref::<Rotate>() {
            return self.rotate(*how, x);
        }
        if let Some(norm) = any.downcast_ref::<RowNorm>() {
            return self.row_norm(node, *norm, x);
        }
        if let Some(Lookup(rows)) = any.downcast_ref() {
            let table = self.input(node, 1)?.name;
            return self.look_up(*rows, table, x);
        }
        if let Some(LookupInt8 { table, rows }) = any.downcast_ref() {
            let table = self.param(node.params.first(), &table.shape())?;
            return self.look_up(*rows, table, x);
        }
        if let Some(pool) = any.downcast_ref::<Pool>() {
            return Ok(self.pool(pool, x));
        }
        if let Some(PadShortcut(geometry)) = any.downcast_ref() {
            return self.shortcut(*geometry, x);
        }
        if any.is::<GlobalAvgPool>() {
            return Ok(self.write("GlobalAveragePool", [&x.name], Vec::new()));
        }
        if any.is::<WithinContext>() {
            return Ok(x.name.clone());
        }
        if let Some(IsNot { value }) = any.downcast_ref() {
            let value = self.integer("id", *value)?;
            let is = self.write("Equal", [x.name.clone(), value], Vec::new());
            let is_not = self.write("Not", [is], Vec::new());
            return Ok(self.cast(is_not, element::F32));
        }
        if let Some(Normalize { mean, std }) = any.downcast_ref() {
            let channels = |values: &[f32]| Tensor::from_vec(values.to_vec(), [values.len(), 1, 1]);
            let [mean, std] =
                [self.constant("mean", &channels(mean)?)?, self.constant("std", &channels(std)?)?];
            let centered = self.write("Sub", [x.name.clone(), mean], Vec::new());
            return Ok(self.write("Div", [centered, std], Vec::new()));
        }
        Err(untranslated(op.name()).into())
    }

    /// An op along an axis, if it is one that is known.
    fn of_axes(&mut self, op: &dyn Any, x: &Value, node: &Node) -> Result<Option<String>> {
        let name = x.name.clone();
        if let Some(Softmax { axis, log }) = op.downcast_ref() {
            let op_type = if *log { "LogSoftmax" } else { "Softmax" };
            return Ok(Some(self.write(op_type, [name], vec![integer("axis", *axis as i64)])));
        }
        if op.is::<MatMul>() {
            let other = self.input(node, 1)?.name;
            return Ok(Some(self.write("MatMul", [name, other], Vec::new())));
        }
        if let Some(Cat { axis }) = op.downcast_ref() {
            let all = (0..node.inputs.len()).map(|i| self.input(node, i));
            let all = all.collect::<Result<Vec<Value>>>()?;
            let names = all.into_iter().map(|value| value.name);
            return Ok(Some(self.write("Concat", names, vec![integer("axis", *axis as i64)])));
        }
        let keep = |keep: bool| integer("keepdims", i64::from(keep));
        if let Some(SumAxis { axis, keep: kept, mean: false }) = op.downcast_ref() {
            let axes = self.list("axes", &[*axis as i64])?;
            return Ok(Some(self.write("ReduceSum", [name, axes], vec![keep(*kept)])));
        }
        let reduced = match (op.downcast_ref(), op.downcast_ref()) {
            (Some(SumAxis { axis, keep, .. }), _) => Some(("ReduceMean", *axis, *keep)),
            (_, Some(MaxAxis { axis, keep })) => Some(("ReduceMax", *axis, *keep)),
            _ => None,
        };
        Ok(reduced.map(|(op_type, axis, kept)| {
            self.write(op_type, [name], vec![size_of("axes", axis as i64), keep(kept)])
        }))
    }
}

fn binary_name(op: Binary) -> &'static str {
    match op {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Div => "Div",
    }
}
