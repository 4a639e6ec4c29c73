//! The graph that is being written, by the values of the graph that was traced.

use crate::error::OnnxError;
use crate::int8::plain;
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::tensor::{self, element};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::graph::{Compute, Edge, Graph, Known, Node, ParamId, Step, Weight};
use tinytorch_core::ops::{Conv2d, Lookup, LookupInt8};
use tinytorch_core::tensor::{Dtype, Shape};
use tinytorch_core::{Result, Tensor};

/// The version of ONNX's operators that is written.
const OPSET: i64 = 17;

/// A value of the graph.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    /// Its shape in a pass over the one example and over the other: what differs is open.
    pub(super) shapes: [Shape; 2],
    dtype: Dtype,
}

impl Value {
    pub(super) fn rank(&self) -> usize {
        self.shapes[0].rank()
    }

    /// The size of the last axis, which is that of a layer.
    pub(super) fn width(&self) -> usize {
        self.shapes[0].last_dim()
    }
}

/// Two examples of an input, whose open sizes differ.
pub(super) type Examples = [Tensor; 2];

pub(super) struct Writer<'g> {
    traced: &'g Graph,
    params: BTreeMap<ParamId, String>,
    /// Tables in which rows are looked up.
    tables: BTreeSet<ParamId>,
    /// Positions that a sequence may have.
    pub(super) positions: usize,
    values: BTreeMap<Edge, Value>,
    taken: BTreeSet<String>,
    written: GraphProto,
}

impl<'g> Writer<'g> {
    pub(super) fn new(
        traced: &'g Graph,
        params: BTreeMap<ParamId, String>,
        positions: usize,
    ) -> Writer<'g> {
        let taken = params.values().cloned().collect();
        let looks_up = |node: &&Node| match &node.step {
            Step::Compute(op) => {
                let any: &dyn Any = &**op;
                any.is::<Lookup>() || any.is::<LookupInt8>()
            }
            _ => false,
        };
        let tables = traced.nodes().iter().filter(looks_up);
        let tables = tables.filter_map(|node| node.params.first().copied()).collect();
        let (values, written) = (BTreeMap::new(), GraphProto::default());
        Writer { traced, params, tables, positions, values, taken, written }
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

    /// Declares an input of the graph.
    pub(super) fn begin(&mut self, edge: Edge, name: &str, examples: &Examples) {
        let name = self.fresh(name);
        let shapes = examples.each_ref().map(|example| *example.shape());
        let dtype = examples[0].dtype();
        self.written.input.push(info(&name, shapes, dtype));
        self.values.insert(edge, Value { name, shapes, dtype });
    }

    /// Adds a constant, under a name like this one.
    pub(super) fn constant(&mut self, wanted: &str, value: &Tensor) -> Result<String> {
        let name = self.fresh(wanted);
        self.written.initializer.push(tensor::proto(&name, value)?);
        Ok(name)
    }

    /// Adds a number as a constant.
    pub(super) fn number(&mut self, wanted: &str, value: f32) -> Result<String> {
        self.constant(wanted, &Tensor::scalar(value))
    }

    /// Adds an integer as a constant.
    pub(super) fn integer(&mut self, wanted: &str, value: i64) -> Result<String> {
        self.constant(wanted, &Tensor::from_vec(vec![value], [])?)
    }

    /// Adds a list of integers as a constant.
    pub(super) fn list(&mut self, wanted: &str, values: &[i64]) -> Result<String> {
        self.constant(wanted, &Tensor::from_vec(values.to_vec(), [values.len()])?)
    }

    /// Declares a parameter of this shape, whose values come later, unless it is there. Gives its name.
    pub(super) fn param(&mut self, id: Option<&ParamId>, shape: &[usize]) -> Result<String> {
        let name = id.and_then(|id| self.params.get(id)).cloned();
        let name = name.ok_or_else(|| untranslated("a weight that the model does not name"))?;
        if !self.written.initializer.iter().any(|known| known.name == name) {
            let dims = shape.iter().map(|&size| size as i64).collect();
            let (data_type, name) = (element::F32, name.clone());
            self.written.initializer.push(TensorProto {
                name,
                dims,
                data_type,
                ..Default::default()
            });
        }
        Ok(name)
    }

    /// Whether rows are looked up in the weight of a layer, too.
    pub(super) fn is_table(&self, node: &Node) -> bool {
        node.params.first().is_some_and(|id| self.tables.contains(id))
    }

    /// Writes an operator of these inputs. Gives its output's name.
    pub(super) fn write<S: Into<String>>(
        &mut self,
        op_type: &str,
        inputs: impl IntoIterator<Item = S>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(&op_type.to_lowercase());
        let inputs = inputs.into_iter().map(Into::into).collect();
        self.written
            .node
            .push(crate::proto::NodeProto { attribute, ..plain(op_type, inputs, &output) });
        output
    }

    /// Input `i` of a node.
    pub(super) fn input(&mut self, node: &Node, i: usize) -> Result<Value> {
        let edge = node.input(i).ok_or_else(|| untranslated("a step without an input"))?;
        self.value(edge)
    }

    fn value(&mut self, edge: Edge) -> Result<Value> {
        if let Some(known) = self.values.get(&edge) {
            return Ok(known.clone());
        }
        let node = self.traced.node(edge);
        let Step::Constant(constant) = &node.step else {
            return Err(untranslated("a step that nothing gives").into());
        };
        let name = match node.params.first() {
            Some(id) => self.param(Some(id), constant.shape())?,
            None => self.constant("constant", constant)?,
        };
        let value = Value { name, shapes: [*constant.shape(); 2], dtype: constant.dtype() };
        self.values.insert(edge, value.clone());
        Ok(value)
    }

    /// Notes under which name a node's output was written.
    pub(super) fn give(&mut self, edge: Edge, name: String) -> Result<()> {
        let [one, other] = [0, 1].map(|pass| self.output_of(edge, pass));
        let ((one, dtype), (other, _)) = (one?, other?);
        self.values.insert(edge, Value { name, shapes: [one, other], dtype });
        Ok(())
    }

    /// The shape and type of a node's output in one of the passes.
    pub(super) fn output_of(&mut self, edge: Edge, pass: usize) -> Result<(Shape, Dtype)> {
        let traced = self.traced;
        let node = traced.node(edge);
        let first = self.input(node, 0)?;
        let shape = first.shapes[pass];
        let shape = match &node.step {
            Step::Linear { weight, .. } => {
                let mut sizes = shape.to_vec();
                if let Some(last) = sizes.last_mut() {
                    *last = weight_shape(weight)[0];
                }
                Shape::new(&sizes)?
            }
            Step::Conv2d { weight, geometry, .. } => {
                Conv2d { geometry: *geometry }.shape(&[shape, weight_shape(weight)])?
            }
            Step::Compute(op) => {
                let mut values = Vec::new();
                for edge in &node.inputs {
                    values.push(edge.map(|edge| self.value(edge)).transpose()?);
                }
                let known = values.iter().map(|value| {
                    value.as_ref().map(|value| Known::only(value.shapes[pass], value.dtype))
                });
                let outputs = op.outputs(&known.collect::<Vec<_>>())?;
                return outputs.first().copied().ok_or_else(|| untranslated(op.name()).into());
            }
            _ => shape,
        };
        Ok((shape, Dtype::F32))
    }

    /// The graph.
    pub(super) fn finish(mut self) -> Result<ModelProto> {
        let outputs = self.traced.outputs().to_vec();
        for (i, edge) in outputs.into_iter().enumerate() {
            let value = self.value(edge)?;
            let name = self.fresh(&if i == 0 { "output".into() } else { format!("output_{i}") });
            self.written.node.push(plain("Identity", vec![value.name], &name));
            self.written.output.push(info(&name, value.shapes, value.dtype));
        }
        let graph = GraphProto { name: "tinytorch".into(), ..self.written };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
        Ok(ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() })
    }
}

pub(super) fn weight_shape(weight: &Weight) -> Shape {
    match weight {
        Weight::F32(weight) => *weight.shape(),
        Weight::Int8(weight) => weight.shape(),
    }
}

pub(super) fn untranslated(step: &str) -> OnnxError {
    OnnxError::Untranslated { step: step.into() }
}

/// A value whose first axis is a batch, and whose other open axis the length of a sequence.
fn info(name: &str, [one, other]: [Shape; 2], dtype: Dtype) -> ValueInfoProto {
    let dim = |(axis, (one, other)): (usize, (&usize, &usize))| match axis {
        _ if axis > 0 && one == other => {
            DimensionProto { dim_value: Some(*one as i64), dim_param: None }
        }
        _ => {
            let name = if axis == 0 { "batch" } else { "length" };
            DimensionProto { dim_value: None, dim_param: Some(name.into()) }
        }
    };
    let dim = one.iter().zip(other.iter()).enumerate().map(dim).collect();
    let elem_type = if dtype == Dtype::I64 { element::I64 } else { element::F32 };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// Attributes of nodes.
pub(super) mod attribute {
    use crate::proto::{AttributeProto, TensorProto};

    /// Kinds, as the format numbers them.
    const FLOAT: i32 = 1;
    const TENSOR: i32 = 4;
    const INTEGERS: i32 = 7;

    pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
        AttributeProto { name: name.into(), f, r#type: FLOAT, ..Default::default() }
    }

    pub(crate) fn tensor(name: &str, t: TensorProto) -> AttributeProto {
        AttributeProto { name: name.into(), t: Some(t), r#type: TENSOR, ..Default::default() }
    }

    pub(crate) fn integers(name: &str, values: &[usize]) -> AttributeProto {
        let ints = values.iter().map(|&value| value as i64).collect();
        AttributeProto { name: name.into(), ints, r#type: INTEGERS, ..Default::default() }
    }
}
