//! How much memory reading a file takes at most. One test, since the counters of the heap belong to the process.

use prost::Message;
use tinytorch_core::module::Module;
use tinytorch_kernels::os::{CountingAllocator, alloc};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const WIDTH: usize = 512;
const LAYERS: usize = 24;

/// Where a weight's numbers are.
#[derive(Clone, Copy, Debug)]
enum Where {
    Initializer,
    Constant,
    OtherFile,
}

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

/// The bytes of layer `i`'s weight.
fn bytes(i: usize) -> Vec<u8> {
    let values = (0..WIDTH * WIDTH).map(|at| ((at * 7 + i) % 13) as f32 - 6.0);
    values.flat_map(f32::to_le_bytes).collect()
}

/// Products of all kinds with weights of the same size.
fn write(folder: &std::path::Path, place: Where) -> std::path::PathBuf {
    let (mut node_list, mut initializer, mut data) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = "x".to_string();
    for i in 0..LAYERS {
        let (name, next) = (format!("w{i}"), format!("y{i}"));
        let dims = vec![WIDTH as i64; 2];
        let mut tensor =
            TensorProto { name: name.clone(), data_type: 1, dims, ..Default::default() };
        match place {
            Where::OtherFile => {
                let entry =
                    |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
                let length = 4 * WIDTH * WIDTH;
                tensor.data_location = 1;
                tensor.external_data = vec![
                    entry("location", "data.bin".into()),
                    entry("offset", (i * length).to_string()),
                    entry("length", length.to_string()),
                ];
                data.extend(bytes(i));
            }
            _ => tensor.raw_data = bytes(i).into(),
        }
        match place {
            Where::Constant => {
                let attribute = AttributeProto {
                    name: "value".into(),
                    r#type: 4,
                    t: Some(tensor),
                    ..Default::default()
                };
                let constant =
                    NodeProto { attribute: vec![attribute], ..node("Constant", &[], &name) };
                node_list.push(constant);
            }
            _ => initializer.push(tensor),
        }
        let op = if i % 3 == 0 { "Gemm" } else { "MatMul" };
        node_list.push(node(op, &[&last, &name], &next));
        last = next;
    }
    let graph = GraphProto {
        node: node_list,
        initializer,
        input: vec![value("x")],
        output: vec![value(&last)],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model =
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    std::fs::write(folder.join("data.bin"), data).unwrap();
    let path = folder.join("m.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path
}

#[test]
fn a_weight_is_in_memory_once() {
    let folder = tempfile::tempdir().unwrap();
    let weights = 4 * LAYERS * WIDTH * WIDTH;
    for place in [Where::Initializer, Where::Constant, Where::OtherFile] {
        let path = write(folder.path(), place);
        let before = alloc::stats().unwrap().live_bytes;
        alloc::reset_peak();
        let model = OnnxModel::open(&path).unwrap();
        let stats = alloc::stats().unwrap();
        let (peak, kept) = (stats.peak_bytes - before, stats.live_bytes - before);
        assert!(kept >= weights, "{place:?}: {kept} bytes for {weights} of weights");
        assert!(kept <= weights + weights / 50, "{place:?}: {kept} bytes for {weights} of weights");
        assert!(peak <= weights + weights / 10, "{place:?}: {peak} bytes for {weights} of weights");
        let params = model.named_params();
        assert_eq!(params.len(), LAYERS, "{place:?}");
        let transposed = params[1].1.value().unwrap().transpose(0, 1).unwrap();
        let values = transposed.contiguous().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(
            values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
            bytes(1),
            "{place:?}"
        );
    }
}
