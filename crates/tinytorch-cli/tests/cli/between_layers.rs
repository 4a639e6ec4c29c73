//! Steps between two layers of a model that is written here: what they make of numbers is computed by hand.

use crate::onnx::{F32, node, value};
use crate::support::Bench;
use prost::Message;
use tinytorch::data::write_npz;
use tinytorch::{Rng, Tensor};
use tinytorch_onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// From `x` with 8 columns through a layer of 16 outputs to `a`, through these steps to `b`, and through a layer to `y` with 4; and the
/// weights of both layers.
pub(crate) fn two_layers(
    between: &[NodeProto],
    numbers: &[(&str, f32)],
) -> (Vec<u8>, [Vec<f32>; 2]) {
    let mut rng = Rng::seed(3);
    let mut some = |sizes: [usize; 2]| -> Vec<f32> {
        Tensor::randn(sizes, 0.5, &mut rng).unwrap().to_vec().unwrap()
    };
    let weights = [some([8, 16]), some([16, 4])];
    let constant = |name: &str, dims: &[i64], float_data: &[f32]| {
        let (name, dims, float_data) = (name.into(), dims.to_vec(), float_data.to_vec());
        TensorProto { name, dims, data_type: F32, float_data, ..Default::default() }
    };
    let numbers = numbers.iter().map(|(name, number)| constant(name, &[], &[*number]));
    let mut initializer: Vec<TensorProto> = numbers.collect();
    initializer.push(constant("first", &[8, 16], &weights[0]));
    initializer.push(constant("second", &[16, 4], &weights[1]));
    let (first, last) =
        ([node("MatMul", &["x", "first"], &["a"])], [node("MatMul", &["b", "second"], &["y"])]);
    let graph = GraphProto {
        node: [&first[..], between, &last].concat(),
        initializer,
        input: vec![value("x", &[-1, 8])],
        output: vec![value("y", &[-1, 4])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model =
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    (model.encode_to_vec(), weights)
}

/// What a layer of these weights makes of a row.
fn multiplied(row: &[f64], weight: &[f32]) -> Vec<f64> {
    let width = weight.len() / row.len();
    let column =
        |j: usize| row.iter().enumerate().map(move |(i, x)| x * f64::from(weight[i * width + j]));
    (0..width).map(|j| column(j).sum()).collect()
}

#[test]
fn a_number_before_a_difference_or_a_quotient_goes_the_whole_way() {
    let relu = [node("Relu", &["a"], &["r"]), node("Add", &["r", "number"], &["more"])];
    let cases: [(&[NodeProto], fn(f64) -> f64); 2] = [
        (&[node("Sub", &["number", "a"], &["b"])], |a| 2.5 - a),
        (&[&relu[..], &[node("Div", &["number", "more"], &["b"])]].concat(), |a| {
            2.5 / (a.max(0.0) + 2.5)
        }),
    ];
    for (between, of) in cases {
        let bench = Bench::new();
        let (model, [first, second]) = two_layers(between, &[("number", 2.5)]);
        bench.write("m.onnx", &model);
        for (file, seed) in [("calibrate.npz", 1), ("judge.npz", 2)] {
            let x = Tensor::randn([256, 8], 1.0, &mut Rng::seed(seed)).unwrap();
            write_npz(bench.path(file), &[("x", &x)]).unwrap();
        }
        let read = |file: &str, name: &str| {
            let array = tinytorch::data::Npz::open(bench.path(file)).unwrap().read(name);
            array.unwrap().to_vec::<f32>().unwrap()
        };
        let rows = |values: &[f32], width: usize| -> Vec<Vec<f64>> {
            values.chunks(width).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect()
        };
        let by_hand = rows(&read("judge.npz", "x"), 8).into_iter().flat_map(|x| {
            let between: Vec<f64> = multiplied(&x, &first).into_iter().map(of).collect();
            multiplied(&between, &second)
        });
        let by_hand: Vec<f64> = by_hand.collect();
        let mean = by_hand.iter().sum::<f64>() / by_hand.len() as f64;
        let spread = by_hand.iter().map(|want| (want - mean).powi(2)).sum::<f64>().sqrt();
        let off = |file: &str| {
            bench.good(&format!("run {file} --input judge.npz --out {file}.npz"));
            let got = read(&format!("{file}.npz"), "y").into_iter().map(f64::from);
            got.zip(&by_hand).map(|(got, want)| (got - want).powi(2)).sum::<f64>().sqrt() / spread
        };
        assert!(off("m.onnx") < 1e-5, "{between:?}");
        bench.good("quantize m.onnx --calibrate calibrate.npz --out q.safetensors");
        assert!(off("q.safetensors") < 0.05, "{between:?}");
        let output = bench
            .run("audit m.onnx q.safetensors --data judge.npz --no-latency --max-error 5% --json");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let gates = report["models"][0]["gates"].as_array().unwrap();
        let failed: Vec<_> = gates.iter().filter(|gate| gate["result"] == "fail").collect();
        assert!(failed.is_empty(), "{between:?}: {failed:?}");
        for id in ["structure", "output_error", "determinism", "batches", "round_trip"] {
            let gate = gates.iter().find(|gate| gate["id"] == id).unwrap();
            assert_eq!(gate["result"], "pass", "{between:?}: {gate}");
        }
    }
}
