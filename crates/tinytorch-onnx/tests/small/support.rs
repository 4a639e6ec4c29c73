//! Small models, written here.

use prost::Message;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

pub(crate) const F32: i32 = 1;
pub(crate) const I64: i32 = 7;
pub(crate) const BOOL: i32 = 9;

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: F32,
        raw_data,
        ..Default::default()
    }
}

pub(crate) fn integers(name: &str, values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
    TensorProto { name: name.into(), dims, data_type: I64, int64_data, ..Default::default() }
}

/// A value of these sizes; -1 is open.
pub(crate) fn value(name: &str, elem_type: i32, sizes: &[i64]) -> ValueInfoProto {
    let dim =
        |size: &i64| DimensionProto { dim_value: (*size >= 0).then_some(*size), dim_param: None };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

pub(crate) fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
    NodeProto {
        op_type: op_type.into(),
        input: names(inputs),
        output: names(outputs),
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i, ..Default::default() }
}

pub(crate) fn graph_attribute(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 5, g: Some(g), ..Default::default() }
}

pub(crate) fn with(mut node: NodeProto, attributes: &[AttributeProto]) -> NodeProto {
    node.attribute = attributes.to_vec();
    node
}

pub(crate) fn graph(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: Vec<ValueInfoProto>,
    output: Vec<ValueInfoProto>,
) -> GraphProto {
    GraphProto { node, initializer, input, output, ..Default::default() }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
}

/// The model as a file has it.
pub(crate) fn read(graph: GraphProto) -> tinytorch_core::Result<OnnxModel> {
    OnnxModel::from_bytes("test", model(graph).encode_to_vec())
}

/// What it says of a model that it refuses: one sentence.
pub(crate) fn refused(graph: GraphProto) -> String {
    let error = read(graph).expect_err("the model is refused").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}
