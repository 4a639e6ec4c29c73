//! What is left of a quantized file in memory once it is read. One test, since the counters of the heap belong to the
//! process.

use prost::Message;
use tinytorch_kernels::os::{CountingAllocator, alloc};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{
    DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const WIDTH: usize = 1024;
const LAYERS: usize = 4;

fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
    let input = input.iter().map(|name| name.to_string()).collect();
    let (op_type, output) = (op_type.to_string(), vec![output.to_string()]);
    NodeProto { op_type, input, output, ..Default::default() }
}

fn value(name: &str) -> ValueInfoProto {
    let dim = |dim_value: Option<i64>| DimensionProto { dim_value, dim_param: None };
    let shape = Some(TensorShapeProto { dim: vec![dim(None), dim(Some(WIDTH as i64))] });
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn constant(name: &str, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|&size| size as i64).collect();
    TensorProto { name: name.into(), data_type, dims, raw_data: bytes.into(), ..Default::default() }
}

/// Products with int8 weights, each with a bias of floats.
fn model() -> ModelProto {
    let (mut nodes, mut constants) = (Vec::new(), Vec::new());
    constants.push(constant("step", 1, &[], 0.01f32.to_le_bytes().to_vec()));
    let mut last = "x".to_string();
    for i in 0..LAYERS {
        let [levels, weight, product, bias] =
            ["levels", "weight", "product", "bias"].map(|what| format!("{what}{i}"));
        let next = if i + 1 == LAYERS { "y".to_string() } else { format!("next{i}") };
        constants.push(constant(&levels, 3, &[WIDTH, WIDTH], vec![7; WIDTH * WIDTH]));
        constants.push(constant(&bias, 1, &[WIDTH], vec![0; 4 * WIDTH]));
        nodes.push(node("DequantizeLinear", &[&levels, "step"], &weight));
        nodes.push(node("MatMul", &[&last, &weight], &product));
        nodes.push(node("Add", &[&product, &bias], &next));
        last = next;
    }
    let graph = GraphProto {
        node: nodes,
        initializer: constants,
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
}

#[test]
fn a_quantized_file_is_held_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, model().encode_to_vec()).unwrap();
    let before = alloc::stats().unwrap().live_bytes;
    let model = OnnxModel::open(&path).unwrap();
    let kept = alloc::stats().unwrap().live_bytes - before;
    let weights = LAYERS * WIDTH * WIDTH;
    assert!(kept >= weights, "{kept} bytes for {weights} of weights");
    assert!(kept <= weights + weights / 50, "{kept} bytes for {weights} of weights");
    drop(model);
}
