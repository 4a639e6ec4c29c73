//! Graphs that were quantized elsewhere: int8 weights stay int8, and results are those of integers.

use super::support::*;
use tinytorch::Tensor;
use tinytorch::nn::Module;
use tinytorch_core::int8::Encoding;
use tinytorch_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use tinytorch_onnx::{Form, OnnxModel};

const U8: i32 = 2;
const I8: i32 = 3;
const I32: i32 = 6;

fn numbers(name: &str, data_type: i32, dims: &[i64], values: &[i32]) -> TensorProto {
    let (dims, int32_data) = (dims.to_vec(), values.to_vec());
    TensorProto { name: name.into(), dims, data_type, int32_data, ..Default::default() }
}

fn scale(name: &str, value: f32) -> TensorProto {
    floats(name, &[], &[value])
}

/// Levels of a convolution's weight `[3, 2, 2, 2]`, the least among them.
fn levels() -> Vec<i32> {
    (0..24).map(|i| if i == 5 { -128 } else { (i * 53) % 255 - 127 }).collect()
}

const BIAS: [i32; 3] = [1200, -700, 33];
const SCALES: [f32; 3] = [0.25, 0.5, 0.125];

/// A convolution over levels of step 1/4 around 7, per channel, rounded to steps of 16 around 100.
fn qdq() -> GraphProto {
    let q = |input: &str, steps: &str, output: &str| {
        node("QuantizeLinear", &[input, steps, &format!("{steps}_zero")], &[output])
    };
    let dq = |input: &str, steps: &str, output: &str| {
        node("DequantizeLinear", &[input, steps, &format!("{steps}_zero")], &[output])
    };
    let axis = [int("axis", 0)];
    let nodes = vec![
        q("x", "in", "x_q"),
        dq("x_q", "in", "x_f"),
        with(node("DequantizeLinear", &["conv.weight_quantized", "w_scale"], &["w_f"]), &axis),
        with(node("DequantizeLinear", &["conv.bias_quantized", "b_scale"], &["b_f"]), &axis),
        node("Conv", &["x_f", "w_f", "b_f"], &["c"]),
        q("c", "out", "c_q"),
        dq("c_q", "out", "y"),
    ];
    let products: Vec<f32> = SCALES.iter().map(|scale| scale * 0.25).collect();
    let constants = vec![
        scale("in", 0.25),
        numbers("in_zero", U8, &[], &[7]),
        numbers("conv.weight_quantized", I8, &[3, 2, 2, 2], &levels()),
        floats("w_scale", &[3], &SCALES),
        numbers("conv.bias_quantized", I32, &[3], &BIAS),
        floats("b_scale", &[3], &products),
        scale("out", 16.0),
        numbers("out_zero", U8, &[], &[100]),
    ];
    let ends = (value("x", F32, &[-1, 2, 3, 3]), value("y", F32, &[-1, 3, 2, 2]));
    graph(nodes, constants, vec![ends.0], vec![ends.1])
}

/// The same as one operator of integers, between others that give it levels and take its.
fn operator(unsigned: bool) -> GraphProto {
    let QdqParts { nodes, mut constants, ends } = parts(qdq());
    let [q, .., dq]: [NodeProto; 7] = nodes.try_into().unwrap();
    let inputs = [
        "x_q",
        "in",
        "in_zero",
        "conv.weight_quantized",
        "w_scale",
        "w_zero",
        "out",
        "out_zero",
        "conv.bias_quantized",
    ];
    let middle = if unsigned { 128 } else { 0 };
    let data_type = if unsigned { U8 } else { I8 };
    let values: Vec<i32> = levels().iter().map(|level| level + middle).collect();
    constants.retain(|one| one.name != "conv.weight_quantized");
    constants.push(numbers("conv.weight_quantized", data_type, &[3, 2, 2, 2], &values));
    constants.push(numbers("w_zero", data_type, &[3], &[middle; 3]));
    graph(vec![q, node("QLinearConv", &inputs, &["c_q"]), dq], constants, ends.0, ends.1)
}

struct QdqParts {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    ends: (Vec<tinytorch_onnx::proto::ValueInfoProto>, Vec<tinytorch_onnx::proto::ValueInfoProto>),
}

fn parts(graph: GraphProto) -> QdqParts {
    let GraphProto { node: nodes, initializer: constants, input, output, .. } = graph;
    QdqParts { nodes, constants, ends: (input, output) }
}

fn input() -> Vec<f32> {
    (0..36).map(|i| ((i * 29) % 97) as f32 * 0.5 - 4.0).collect()
}

/// What the operators mean, in integers: every factor is a power of two, so that nothing else is rounded than levels.
fn in_integers() -> Vec<f32> {
    with_zeros([0; 3])
}

/// The same of a weight whose zeros are these levels.
fn with_zeros(zeros: [i32; 3]) -> Vec<f32> {
    let round = |v: f64| v.round_ties_even() as i64;
    let x: Vec<i64> =
        input().iter().map(|v| (round(f64::from(*v) * 4.0) + 7).clamp(0, 255) - 7).collect();
    let (w, mut y) = (levels(), Vec::new());
    for sample in 0..2 {
        for channel in 0..3 {
            for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mut sum = i64::from(BIAS[channel]);
                for k in 0..8 {
                    let (plane, i, j) = (k / 4, k / 2 % 2, k % 2);
                    let at = sample * 18 + plane * 9 + (row + i) * 3 + column + j;
                    sum += x[at] * i64::from(w[channel * 8 + k] - zeros[channel]);
                }
                let value = sum as f64 * f64::from(SCALES[channel]) * 0.25;
                y.push(((round(value / 16.0) + 100).clamp(0, 255) - 100) as f32 * 16.0);
            }
        }
    }
    y
}

fn output(model: &OnnxModel) -> Vec<f32> {
    let x = Tensor::from_vec(input(), [2, 2, 3, 3]).unwrap();
    let y = model.run(std::slice::from_ref(&x)).unwrap()[0].to_vec().unwrap();
    let planned = model.plan_for(std::slice::from_ref(&x)).unwrap().run(&x).unwrap();
    assert_eq!(y, planned.to_vec::<f32>().unwrap());
    y
}

fn reading(model: &OnnxModel) -> Vec<(String, Encoding)> {
    let params = model.named_params().into_iter();
    params.filter_map(|(name, param)| Some((name, param.int8()?.input()))).collect()
}

#[test]
fn levels_between_floats_are_multiplied_in_integers() {
    let model = read(qdq()).unwrap();
    let names: Vec<String> = model.named_params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["conv.weight", "conv.bias"]);
    let Encoding::Static(params) = reading(&model)[0].1 else { panic!("its range is fixed") };
    assert_eq!((params.scale, params.zero_point), (0.25, 7));
    assert_eq!(output(&model), in_integers());
}

#[test]
fn an_operator_of_integers_means_the_same_with_signed_and_unsigned_weights() {
    for unsigned in [false, true] {
        let model = read(operator(unsigned)).unwrap();
        assert_eq!(reading(&model).len(), 1);
        assert_eq!(output(&model), in_integers(), "{unsigned}");
    }
}

const ZEROS: [i32; 3] = [0, 90, -77];

/// Signed or unsigned levels whose zeros lie off the middle.
fn off_center(unsigned: bool) -> GraphProto {
    around(ZEROS, unsigned)
}

fn around(zeros: [i32; 3], unsigned: bool) -> GraphProto {
    let (middle, data_type) = if unsigned { (128, U8) } else { (0, I8) };
    let values: Vec<i32> = levels().iter().map(|level| level + middle).collect();
    let mut graph = qdq();
    *of(&mut graph, "conv.weight_quantized") =
        numbers("conv.weight_quantized", data_type, &[3, 2, 2, 2], &values);
    graph.initializer.push(numbers("w_zero", data_type, &[3], &zeros.map(|zero| zero + middle)));
    graph.node[2].input.push("w_zero".into());
    graph
}

/// A weight that is read without its zeros would be off by dozens of levels.
#[test]
fn zeros_off_the_middle_are_taken_off() {
    for unsigned in [false, true] {
        let model = read(off_center(unsigned)).unwrap();
        assert_eq!(reading(&model).len(), 1);
        let params = model.named_params();
        let weight = params[0].1.int8().unwrap();
        assert_eq!(weight.zero_points(), ZEROS.map(|zero| zero as i8));
        assert_eq!(output(&model), with_zeros(ZEROS));
    }
    assert_ne!(with_zeros(ZEROS), in_integers());
}

/// Convolutions of integers take one zero point for all channels; others stay floats between levels.
#[test]
fn operators_of_integers_are_written_with_zero_points() {
    for (zeros, operator) in [([-77; 3], "QLinearConv"), (ZEROS, "Conv")] {
        let model = read(around(zeros, false)).unwrap();
        let bytes = model.to_onnx_as(Form::QOperator).unwrap().bytes;
        let written = <ModelProto as prost::Message>::decode(&bytes[..]).unwrap();
        let nodes = written.graph.unwrap().node;
        assert!(nodes.iter().any(|node| node.op_type == operator), "{operator}");
        assert_eq!(output(&OnnxModel::from_bytes("again", bytes).unwrap()), with_zeros(zeros));
    }
}

#[test]
fn signed_levels_are_counted_from_their_least() {
    let mut graph = qdq();
    for one in &mut graph.initializer {
        if one.name == "in_zero" {
            *one = numbers("in_zero", I8, &[], &[7 - 128]);
        }
    }
    assert_eq!(output(&read(graph).unwrap()), in_integers());
}

#[test]
fn it_is_kept_as_any_model() {
    let model = read(qdq()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [first, second] =
        ["a", "b"].map(|name| folder.path().join(name).with_extension("safetensors"));
    let provenance = tinytorch::files::Provenance::default();
    tinytorch::files::save_model(&first, &model, &provenance).unwrap();
    let again = tinytorch::files::load::<OnnxModel>(&first).unwrap();
    assert_eq!(output(&again.model), in_integers());
    tinytorch::files::save_model(&second, &again.model, &again.provenance).unwrap();
    assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
}

/// Levels that `DynamicQuantizeLinear` gives, in a convolution of integers.
fn dynamic() -> GraphProto {
    let nodes = vec![
        node("DynamicQuantizeLinear", &["x"], &["q", "step", "zero"]),
        node("ConvInteger", &["q", "w", "zero"], &["sums"]),
        with(node("Cast", &["sums"], &["floats"]), &[int("to", 1)]),
        node("Mul", &["floats", "step"], &["y"]),
    ];
    let constants = vec![numbers("w", I8, &[3, 2, 2, 2], &levels())];
    let ends = (value("x", F32, &[-1, 2, 3, 3]), value("y", F32, &[-1, 3, 2, 2]));
    graph(nodes, constants, vec![ends.0], vec![ends.1])
}

#[test]
fn every_form_is_saved_loaded_and_saved_to_the_same_bytes() {
    let provenance = tinytorch::files::Provenance::default();
    let folder = tempfile::tempdir().unwrap();
    let off_center = [off_center(false), off_center(true)];
    for graph in [qdq(), operator(false), operator(true), dynamic()].into_iter().chain(off_center) {
        let model = read(graph).unwrap();
        let onnx = model.to_onnx().unwrap().bytes;
        let again = OnnxModel::from_bytes("again", onnx.clone()).unwrap();
        assert_eq!(output(&again), output(&model));
        assert!(again.to_onnx().unwrap().bytes == onnx);
        let saved = |model: &OnnxModel, name: &str| {
            let path = folder.path().join(name).with_extension("safetensors");
            tinytorch::files::save_model(&path, model, &provenance).unwrap();
            path
        };
        let first = saved(&model, "first");
        let loaded = tinytorch::files::load::<OnnxModel>(&first).unwrap().model;
        assert_eq!(output(&loaded), output(&model));
        let second = saved(&loaded, "second");
        assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
        assert!(loaded.to_onnx().unwrap().bytes == onnx);
    }
}

/// What else reads rounded values reads them still, and what only rearranges them is no obstacle.
#[test]
fn other_readers_see_rounded_values() {
    let mut graph = qdq();
    graph.node.insert(2, node("Identity", &["x_f"], &["same"]));
    graph.node.iter_mut().filter(|node| node.op_type == "Conv").for_each(|conv| {
        conv.input[0] = "same".into();
    });
    graph.node.push(node("Neg", &["x_f"], &["rounded"]));
    graph.output.push(value("rounded", F32, &[-1, 2, 3, 3]));
    let model = read(graph).unwrap();
    assert!(matches!(reading(&model)[0].1, Encoding::Static(_)));
    let x = Tensor::from_vec(input(), [2, 2, 3, 3]).unwrap();
    let outputs = model.run(&[x]).unwrap();
    assert_eq!(outputs[0].to_vec::<f32>().unwrap(), in_integers());
    let rounded: Vec<f32> = input().iter().map(|v| -v.max(-1.75)).collect();
    assert_eq!(outputs[1].to_vec::<f32>().unwrap(), rounded);
}

/// Why a weight of 8 bits is a parameter of floats, and that it means what it did.
#[track_caller]
fn stays_float(change: impl Fn(&mut GraphProto), reason: &str) {
    let mut graph = qdq();
    change(&mut graph);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, prost::Message::encode_to_vec(&model(graph))).unwrap();
    let report = OnnxModel::inspect(&path).unwrap();
    assert!(report.int8.is_empty() && report.missing.is_empty(), "{report:?}");
    let [(tensor, why)] = &report.floats[..] else { panic!("{:?}", report.floats) };
    assert_eq!((tensor.as_str(), why.as_str()), ("conv.weight_quantized", reason));
    assert!(OnnxModel::open(&path).unwrap().named_params().iter().all(|(_, p)| p.int8().is_none()));
}

fn of<'g>(graph: &'g mut GraphProto, name: &str) -> &'g mut TensorProto {
    graph.initializer.iter_mut().find(|one| one.name == name).unwrap()
}

#[test]
fn what_cannot_be_int8_is_named_with_its_reason() {
    let third = numbers("conv.weight_quantized", I8, &[2, 2, 2, 2], &levels()[..16]);
    stays_float(
        |graph| {
            *of(graph, "conv.weight_quantized") = third.clone();
            *of(graph, "w_scale") = floats("w_scale", &[2], &SCALES[..2]);
            *of(graph, "conv.bias_quantized") =
                numbers("conv.bias_quantized", I32, &[2], &BIAS[..2]);
            *of(graph, "b_scale") = floats("b_scale", &[2], &[0.5, 0.25]);
            graph.node[2].attribute = vec![int("axis", 1)];
        },
        "its scales lie along axis 1, and its output channels along axis 0",
    );
    stays_float(
        |graph| *of(graph, "w_scale") = floats("w_scale", &[3], &[0.25, 0.0, 0.125]),
        "its scale is 0",
    );
    stays_float(
        |graph| {
            graph.initializer.push(floats("w_zero", &[], &[0.5]));
            graph.node[2].input.push("w_zero".into());
        },
        "its zero point is 0.5, which none of its levels is",
    );
    stays_float(
        |graph| graph.node.push(node("Neg", &["w_f"], &["n"])),
        "7 (Neg) multiplies floats by it",
    );
}

/// `DynamicQuantizeLinear` and `ConvInteger` with a border, as ONNX Runtime's dynamic quantizer writes them.
#[test]
fn a_convolution_over_a_range_found_as_values_come_is_one_of_integers() {
    let pads = tinytorch_onnx::proto::AttributeProto {
        name: "pads".into(),
        r#type: 7,
        ints: vec![1; 4],
        ..Default::default()
    };
    let nodes = vec![
        node("DynamicQuantizeLinear", &["x"], &["q", "step", "zero"]),
        with(node("ConvInteger", &["q", "w", "zero", "w_zero"], &["sums"]), &[pads]),
        with(node("Cast", &["sums"], &["floats"]), &[int("to", 1)]),
        node("Mul", &["floats", "step"], &["y"]),
    ];
    let weights: Vec<i32> = (0..27).map(|i| (i * 53) % 255 - 127).collect();
    let zeros = [3, -5, 0];
    let constants =
        vec![numbers("w", I8, &[3, 1, 3, 3], &weights), numbers("w_zero", I8, &[3], &zeros)];
    let ends = (value("x", F32, &[-1, 1, 3, 3]), value("y", F32, &[-1, 3, 3, 3]));
    let model = read(graph(nodes, constants, vec![ends.0], vec![ends.1])).unwrap();
    let int8 = reading(&model);
    let is_w = |(name, input): &(String, Encoding)| {
        name == "sums_weights" && matches!(input, Encoding::Static(_))
    };
    assert!(int8.iter().any(is_w), "{int8:?}");
    // A range of -0.5 to 2.05 in steps of 0.01: the level of 0 is 50.
    let x: Vec<f32> =
        [0, 255, 3, 90, 50, 200, 77, 13, 128].map(|level| (level - 50) as f32 * 0.01).to_vec();
    let step = ((205f32 * 0.01) - (-50f32 * 0.01)) / 255.0;
    let at = |row: usize, column: usize| (x[row * 3 + column] / step).round() as i32;
    let mut expected = Vec::new();
    for (out, place) in (0..27).map(|i| (i / 9, i % 9)) {
        let mut sum = 0;
        for (kr, kc) in (0..9).map(|i| (i / 3, i % 3)) {
            let (r, c) = (place / 3 + kr, place % 3 + kc);
            if (1..4).contains(&r) && (1..4).contains(&c) {
                sum += at(r - 1, c - 1) * (weights[out * 9 + kr * 3 + kc] - zeros[out]);
            }
        }
        expected.push(sum as f32 * step);
    }
    let x = Tensor::from_vec(x.clone(), [1, 1, 3, 3]).unwrap();
    let y = model.run(&[x]).unwrap()[0].to_vec::<f32>().unwrap();
    for (got, expected) in y.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{got} for {expected}");
    }
}
