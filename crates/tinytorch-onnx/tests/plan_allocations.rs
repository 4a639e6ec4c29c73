//! A warm plan allocates nothing, of recurrent layers too. One test, since the counters of the heap belong to the process.

use prost::Message;
use tinytorch_core::graph::{View, ViewMut};
use tinytorch_core::plan::Plan;
use tinytorch_core::{Rng, Tensor};
use tinytorch_kernels::os::{CountingAllocator, alloc};
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const LENGTH: usize = 6;
const INPUTS: usize = 5;
const HIDDEN: usize = 4;

/// Rounds of runs after which no thread meets a piece of work for the first time any more.
const WARM_UP: usize = 50;

fn node(
    op_type: &str,
    input: &[&str],
    output: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
    let (input, output) = (names(input), names(output));
    NodeProto { op_type: op_type.into(), input, output, attribute, ..Default::default() }
}

fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim =
        |&size: &i64| DimensionProto { dim_value: (size >= 0).then_some(size), dim_param: None };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn weight(name: &str, sizes: &[usize], seed: u64) -> TensorProto {
    let values = Tensor::randn(sizes, 0.3, &mut Rng::seed(seed)).unwrap();
    TensorProto {
        name: name.into(),
        dims: sizes.iter().map(|&size| size as i64).collect(),
        data_type: 1,
        float_data: values.to_vec().unwrap(),
        ..Default::default()
    }
}

/// A recurrent layer in both directions, with a product behind it.
fn recurrent(kind: &str, gates: usize) -> OnnxModel {
    let both = AttributeProto {
        name: "direction".into(),
        r#type: 3,
        s: "bidirectional".into(),
        ..Default::default()
    };
    let hidden = AttributeProto {
        name: "hidden_size".into(),
        r#type: 2,
        i: HIDDEN as i64,
        ..Default::default()
    };
    let nodes = vec![
        node(kind, &["x", "w", "r", "b"], &["all", "last"], vec![both, hidden]),
        node("MatMul", &["all", "head"], &["y"], vec![]),
    ];
    let initializer = vec![
        weight("w", &[2, gates * HIDDEN, INPUTS], 1),
        weight("r", &[2, gates * HIDDEN, HIDDEN], 2),
        weight("b", &[2, 2 * gates * HIDDEN], 3),
        weight("head", &[HIDDEN, 3], 4),
    ];
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value("x", &[LENGTH as i64, -1, INPUTS as i64])],
        output: vec![value("y", &[-1; 4]), value("last", &[-1; 3])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 14 }];
    let model =
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    OnnxModel::from_bytes(kind, model.encode_to_vec()).unwrap()
}

/// The fewest allocations of 20 runs on inputs of two sizes.
fn allocations(plan: &mut Plan, inputs: &[Tensor; 2], want: &[Vec<Tensor>; 2]) -> usize {
    let mut outputs = want.clone();
    let mut fewest = usize::MAX;
    for _ in 0..WARM_UP {
        let mut counted = 0;
        for i in 0..20 {
            let views = [View::of(&inputs[i % 2]).unwrap()];
            let [first, second] = &mut outputs[i % 2][..] else { panic!("two outputs") };
            let mut out = [ViewMut::of(first).unwrap(), ViewMut::of(second).unwrap()];
            let before = alloc::stats().unwrap().allocations;
            plan.run_many_into(&views, &mut out).unwrap();
            counted += alloc::stats().unwrap().allocations - before;
        }
        fewest = fewest.min(counted);
        if fewest == 0 {
            break;
        }
    }
    for (got, want) in outputs.iter().flatten().zip(want.iter().flatten()) {
        assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    }
    fewest
}

#[test]
fn recurrent_plans_allocate_nothing_once_they_are_warm() {
    for (kind, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let model = recurrent(kind, gates);
        let inputs =
            [1, 7].map(|n| Tensor::randn([LENGTH, n, INPUTS], 1.0, &mut Rng::seed(9)).unwrap());
        let want = inputs.each_ref().map(|x| model.run(std::slice::from_ref(x)).unwrap());
        let mut plan = model.plan().unwrap();
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let count = pool.install(|| allocations(&mut plan, &inputs, &want));
            assert_eq!(count, 0, "{kind} on {threads} threads");
        }
    }
}
