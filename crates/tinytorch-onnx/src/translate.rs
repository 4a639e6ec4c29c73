//! A model that was built here as the ONNX graph that it computes.
//!
//! A pass of the model is traced, and every step written as the operators of ONNX that mean it, over parameters under
//! the names that the model gives them. What comes of it holds the model's own parameters, int8 ones as such.

use crate::OnnxModel;
use crate::error::OnnxError;
use crate::int8::{integer, plain};
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::tensor::{self, element};
use prost::Message;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tinytorch::models::Model;
use tinytorch_core::autograd::{AutogradError, Ctx, Param, Var};
use tinytorch_core::graph::{Compute, Edge, Graph, Node, ParamId, Step, Weight};
use tinytorch_core::module::Module;
use tinytorch_core::ops::{
    Binary, GlobalAvgPool, Normalize, PadShortcut, Pointwise, Pool, Relu, Reshape,
};
use tinytorch_core::tensor::{Dtype, Shape};
use tinytorch_core::{Result, Tensor};
use tinytorch_kernels::f32::functions::{Sigmoid, Tanh};

/// The version of ONNX's operators that is written.
const OPSET: i64 = 17;

/// Samples of the pass that is traced: more than one, so that a batch is told from an axis of size 1.
const BATCH: usize = 2;

impl OnnxModel {
    /// A model that was built here as the ONNX graph that it computes, with its parameters as they are now.
    ///
    /// # Errors
    /// [`OnnxError::Untranslated`] for a step that is not written as ONNX's operators, such as attention, and what the
    /// model itself reports.
    pub fn of(model: &dyn Model) -> Result<OnnxModel> {
        let samples = model.samples()?;
        let examples = samples.iter().map(|sample| sample.batch(BATCH));
        let examples = examples.collect::<Result<Vec<Tensor>>>()?;
        let mut ctx = Ctx::trace();
        let inputs: Vec<Var> = examples.iter().map(|example| ctx.input(example)).collect();
        let outputs = model.forward_list(&inputs, &mut ctx)?;
        let graph = ctx.into_tape().ok_or(AutogradError::Untracked)?.lower(&outputs)?;
        let mut writer = Writer::new(model);
        for (i, (edge, example)) in graph.inputs().iter().zip(&examples).enumerate() {
            let name = match &model.input_names()[..] {
                [] if i == 0 => "input".to_string(),
                names => names.get(i).cloned().unwrap_or_else(|| format!("input_{i}")),
            };
            writer.begin(*edge, name, example);
        }
        for edge in graph.firsts() {
            writer.node(&graph, edge)?;
        }
        let shapes: Vec<Shape> = outputs.iter().map(|output| *output.shape()).collect();
        let frame = writer.finish(&graph, &shapes)?;
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

/// A value of the graph.
#[derive(Clone)]
struct Known {
    name: String,
    rank: usize,
    /// Channels of an image.
    channels: usize,
}

struct Writer {
    params: BTreeMap<ParamId, String>,
    values: BTreeMap<Edge, Known>,
    taken: BTreeSet<String>,
    graph: GraphProto,
}

impl Writer {
    fn new(model: &dyn Model) -> Writer {
        let params = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
        let params: BTreeMap<ParamId, String> = params.collect();
        let taken = params.values().cloned().collect();
        Writer { params, values: BTreeMap::new(), taken, graph: GraphProto::default() }
    }

    /// A name that nothing has yet.
    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_string();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{wanted}_{count}");
        }
        name
    }

    /// An input of the graph.
    fn begin(&mut self, edge: Edge, name: String, example: &Tensor) {
        let name = self.fresh(&name);
        self.graph.input.push(info(&name, example.shape(), example.dtype()));
        let channels = example.shape().get(1).copied().unwrap_or(0);
        self.values.insert(edge, Known { name, rank: example.rank(), channels });
    }

    /// Adds a constant, under a name like this one.
    fn constant(&mut self, wanted: &str, value: &Tensor) -> Result<String> {
        let name = self.fresh(wanted);
        self.graph.initializer.push(tensor::proto(&name, value)?);
        Ok(name)
    }

    /// Declares a parameter of this shape, whose values come later, unless it is there. Gives its name.
    fn param(&mut self, node: &Node, i: usize, shape: &Shape) -> Result<String> {
        let name = node.params.get(i).and_then(|id| self.params.get(id)).cloned();
        let name = name.ok_or_else(|| untranslated("a weight that the model does not name"))?;
        if !self.graph.initializer.iter().any(|known| known.name == name) {
            let dims = shape.iter().map(|&size| size as i64).collect();
            let (data_type, name) = (element::F32, name.clone());
            self.graph.initializer.push(TensorProto {
                name,
                dims,
                data_type,
                ..Default::default()
            });
        }
        Ok(name)
    }

    /// Writes an operator of these inputs. Gives its output's name.
    fn write(
        &mut self,
        op_type: &str,
        inputs: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(&op_type.to_lowercase());
        self.graph.node.push(NodeProto { attribute, ..plain(op_type, inputs, &output) });
        output
    }

    /// Writes the step at an edge.
    fn node(&mut self, graph: &Graph, edge: Edge) -> Result<()> {
        let node = graph.node(edge);
        let input = node.input(0).and_then(|from| self.values.get(&from)).cloned();
        let known = match (&node.step, input) {
            (Step::Input, _) => return Ok(()),
            (Step::Constant(value), _) => {
                let name = self.constant("constant", value)?;
                Known { name, rank: value.rank(), channels: 0 }
            }
            // How a layer's input is quantized is a property of its weight.
            (Step::Quantize { .. }, Some(x)) => x,
            (Step::Linear { bias, relu, .. }, Some(x)) => {
                self.linear(node, &x, bias.as_ref(), *relu)?
            }
            (Step::Conv2d { relu, .. }, Some(x)) => self.convolution(node, &x, *relu)?,
            (Step::BatchNorm2d(norm), Some(x)) => {
                let mut inputs = vec![x.name.clone()];
                for (i, value) in
                    [&norm.weight, &norm.bias, &norm.mean, &norm.variance].iter().enumerate()
                {
                    inputs.push(self.param(node, i, value.shape())?);
                }
                let name =
                    self.write("BatchNormalization", inputs, vec![float("epsilon", norm.eps)]);
                Known { name, ..x }
            }
            (Step::Compute(op), Some(x)) => self.compute(op, &x, node)?,
            _ => return Err(untranslated("a step without an input").into()),
        };
        self.values.insert(edge, known);
        Ok(())
    }

    fn linear(
        &mut self,
        node: &Node,
        x: &Known,
        bias: Option<&Tensor>,
        relu: bool,
    ) -> Result<Known> {
        let Step::Linear { weight, .. } = &node.step else {
            return Err(untranslated("a layer").into());
        };
        let shape = weight_shape(weight);
        if x.rank != 2 {
            return Err(untranslated("a linear layer over more axes than one").into());
        }
        let mut inputs = vec![x.name.clone(), self.param(node, 0, &shape)?];
        if let Some(bias) = bias {
            inputs.push(self.param(node, 1, bias.shape())?);
        }
        let name = self.write("Gemm", inputs, vec![integer("transB", 1)]);
        Ok(Known { name: self.positive(name, relu), rank: 2, channels: shape[0] })
    }

    fn convolution(&mut self, node: &Node, x: &Known, relu: bool) -> Result<Known> {
        let Step::Conv2d { weight, bias, geometry, .. } = &node.step else {
            return Err(untranslated("a layer").into());
        };
        let shape = weight_shape(weight);
        let mut inputs = vec![x.name.clone(), self.param(node, 0, &shape)?];
        if let Some(bias) = bias {
            inputs.push(self.param(node, 1, bias.shape())?);
        }
        let [rows, columns] = geometry.padding;
        let attributes = vec![
            integers("kernel_shape", &shape[2..]),
            integers("strides", &geometry.stride),
            integers("pads", &[rows[0], columns[0], rows[1], columns[1]]),
            integers("dilations", &geometry.dilation),
            integer("group", geometry.groups as i64),
        ];
        let name = self.write("Conv", inputs, attributes);
        Ok(Known { name: self.positive(name, relu), rank: 4, channels: shape[0] })
    }

    fn positive(&mut self, name: String, relu: bool) -> String {
        if relu { self.write("Relu", vec![name], Vec::new()) } else { name }
    }

    /// A step that is an op as it is.
    fn compute(&mut self, op: &Arc<dyn Compute>, x: &Known, node: &Node) -> Result<Known> {
        let any: &dyn Any = &**op;
        let one = vec![x.name.clone()];
        if let Some(unary) = unary(any) {
            return Ok(Known { name: self.write(unary, one, Vec::new()), ..x.clone() });
        }
        if let Some(binary) = any.downcast_ref::<Binary>() {
            let other = node.input(1).and_then(|from| self.values.get(&from)).cloned();
            let other = other.ok_or_else(|| untranslated("a sum of one value"))?;
            let name =
                self.write(binary_name(*binary), vec![x.name.clone(), other.name], Vec::new());
            return Ok(Known {
                name,
                rank: x.rank.max(other.rank),
                channels: x.channels.max(other.channels),
            });
        }
        if let Some(pool) = any.downcast_ref::<Pool>() {
            return Ok(Known { name: self.pool(pool, one), ..x.clone() });
        }
        match any.downcast_ref::<Reshape>() {
            Some(Reshape::Flatten { start: 1, end }) if *end + 1 == x.rank => {
                let name = self.write("Flatten", one, vec![integer("axis", 1)]);
                return Ok(Known { name, rank: 2, channels: 0 });
            }
            _ => {}
        }
        if let Some(GlobalAvgPool) = any.downcast_ref() {
            return Ok(Known {
                name: self.write("GlobalAveragePool", one, Vec::new()),
                ..x.clone()
            });
        }
        if let Some(Normalize { mean, std }) = any.downcast_ref() {
            let channels = |values: &[f32]| Tensor::from_vec(values.to_vec(), [values.len(), 1, 1]);
            let [mean, std] =
                [self.constant("mean", &channels(mean)?)?, self.constant("std", &channels(std)?)?];
            let centered = self.write("Sub", vec![x.name.clone(), mean], Vec::new());
            return Ok(Known {
                name: self.write("Div", vec![centered, std], Vec::new()),
                ..x.clone()
            });
        }
        if let Some(PadShortcut(geometry)) = any.downcast_ref() {
            let before = geometry.channels.saturating_sub(x.channels) / 2;
            let after = geometry.channels.saturating_sub(x.channels + before);
            let name = self.every(geometry.stride, &x.name)?;
            let pads = [0, before, 0, 0, 0, after, 0, 0].map(|pad| pad as i64).to_vec();
            let pads = self.constant("pads", &Tensor::from_vec(pads, [8])?)?;
            let name = self.write("Pad", vec![name, pads], Vec::new());
            return Ok(Known { name, rank: 4, channels: geometry.channels });
        }
        Err(untranslated(op.name()).into())
    }

    fn pool(&mut self, pool: &Pool, inputs: Vec<String>) -> String {
        let (op_type, geometry) = match pool {
            Pool::Max(geometry) => ("MaxPool", geometry),
            Pool::Avg(geometry) => ("AveragePool", geometry),
        };
        let [rows, columns] = geometry.padding;
        let mut attributes = vec![
            integers("kernel_shape", &geometry.kernel),
            integers("strides", &geometry.stride),
            integers("pads", &[rows[0], columns[0], rows[1], columns[1]]),
        ];
        match pool {
            Pool::Max(_) => attributes.push(integers("dilations", &geometry.dilation)),
            // Borders count as zeros.
            Pool::Avg(_) => attributes.push(integer("count_include_pad", 1)),
        }
        self.write(op_type, inputs, attributes)
    }

    /// Every so many rows and columns of an image.
    fn every(&mut self, stride: usize, image: &str) -> Result<String> {
        let list = |values: [i64; 2]| Tensor::from_vec(values.to_vec(), [2]);
        let mut inputs = vec![image.to_string()];
        for (name, values) in [
            ("starts", [0; 2]),
            ("ends", [i64::MAX; 2]),
            ("axes", [2, 3]),
            ("steps", [stride as i64; 2]),
        ] {
            inputs.push(self.constant(name, &list(values)?)?);
        }
        Ok(self.write("Slice", inputs, Vec::new()))
    }

    /// The graph, whose outputs have these shapes for the batch that was traced.
    fn finish(mut self, graph: &Graph, shapes: &[Shape]) -> Result<ModelProto> {
        for (i, (edge, shape)) in graph.outputs().iter().zip(shapes).enumerate() {
            let known = self.values.get(edge).cloned();
            let known = known.ok_or_else(|| untranslated("an output that nothing gives"))?;
            let name = self.fresh(&if i == 0 { "output".into() } else { format!("output_{i}") });
            self.graph.node.push(plain("Identity", vec![known.name], &name));
            self.graph.output.push(info(&name, shape, Dtype::F32));
        }
        let graph = GraphProto { name: "tinytorch".into(), ..self.graph };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
        Ok(ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() })
    }
}

/// The operator of an op of one value without attributes.
fn unary(op: &dyn Any) -> Option<&'static str> {
    if op.is::<Relu>() {
        Some("Relu")
    } else if op.is::<Pointwise<Sigmoid>>() {
        Some("Sigmoid")
    } else if op.is::<Pointwise<Tanh>>() {
        Some("Tanh")
    } else {
        None
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

fn weight_shape(weight: &Weight) -> Shape {
    match weight {
        Weight::F32(weight) => *weight.shape(),
        Weight::Int8(weight) => weight.shape(),
    }
}

fn untranslated(step: &str) -> OnnxError {
    OnnxError::Untranslated { step: step.into() }
}

/// A value whose first axis is a batch of any size.
fn info(name: &str, shape: &Shape, dtype: Dtype) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
    let size = |size: &usize| DimensionProto { dim_value: Some(*size as i64), dim_param: None };
    let dim = std::iter::once(batch).chain(shape.iter().skip(1).map(size)).collect();
    let elem_type = if dtype == Dtype::I64 { element::I64 } else { element::F32 };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// Kinds of attributes, as the format numbers them.
mod kind {
    pub(super) const FLOAT: i32 = 1;
    pub(super) const INTEGERS: i32 = 7;
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: kind::FLOAT, ..Default::default() }
}

fn integers(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: kind::INTEGERS, ..Default::default() }
}
