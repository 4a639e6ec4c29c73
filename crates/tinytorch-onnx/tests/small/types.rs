//! Numbers of other widths than those that are computed with, and sums of whole numbers.

use super::support::*;
use tinytorch::Tensor;
use tinytorch::tensor::Dtype;
use tinytorch::tensor::Number;
use tinytorch_onnx::proto::{GraphProto, NodeProto, TensorProto};

const U8: i32 = 2;
const U16: i32 = 4;
const I16: i32 = 5;
const I32: i32 = 6;
const F16: i32 = 10;
const F64: i32 = 11;
const U32: i32 = 12;
const U64: i32 = 13;

fn one(operator: NodeProto, constants: Vec<TensorProto>, ends: [(i32, &[i64]); 2]) -> GraphProto {
    let [(of_input, from), (of_output, to)] = ends;
    graph(
        vec![operator],
        constants,
        vec![value("x", of_input, from)],
        vec![value("y", of_output, to)],
    )
}

#[test]
fn halves_and_doubles_are_computed_in_32_bits_and_declared_as_they_were() {
    for (declared, number) in [(F16, Number::F16), (F64, Number::F64)] {
        let two = match declared {
            F16 => TensorProto { int32_data: vec![0x4000], ..Default::default() },
            _ => TensorProto { double_data: vec![2.0], ..Default::default() },
        };
        let two = TensorProto { name: "two".into(), data_type: declared, ..two };
        let ends = [(declared, &[3][..]), (declared, &[3])];
        let model = read(one(node("Mul", &["x", "two"], &["y"]), vec![two], ends)).unwrap();
        assert_eq!((model.outputs()[0].number, model.outputs()[0].dtype), (number, Dtype::F32));
        let said = format!("`y`: {number} (computed as f32) [3]");
        assert_eq!(model.outputs()[0].to_string(), said);
        let x = Tensor::from_vec(vec![1.5f32, -2.0, 0.25], [3]).unwrap();
        assert_eq!(model.run(&[x]).unwrap()[0].to_vec::<f32>().unwrap(), [3.0, -4.0, 0.5]);
    }
}

#[test]
fn the_least_double_of_a_mask_stays_finite() {
    let mask = TensorProto {
        name: "mask".into(),
        dims: vec![2],
        data_type: F64,
        double_data: vec![f64::MIN, f64::NEG_INFINITY],
        ..Default::default()
    };
    let ends = [(F64, &[2][..]), (F64, &[2])];
    let model = read(one(node("Add", &["x", "mask"], &["y"]), vec![mask], ends)).unwrap();
    let y = model.run(&[Tensor::zeros([2]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [f32::MIN, f32::NEG_INFINITY]);
}

#[test]
fn integers_of_16_bits_are_kept_in_64() {
    let least = TensorProto {
        name: "least".into(),
        data_type: I16,
        raw_data: (-300i16).to_le_bytes().to_vec().into(),
        ..Default::default()
    };
    let ends = [(I16, &[2][..]), (I16, &[2])];
    let model = read(one(node("Max", &["x", "least"], &["y"]), vec![least], ends)).unwrap();
    let x = Tensor::from_vec(vec![-32768i64, 77], [2]).unwrap();
    assert_eq!(model.run(&[x]).unwrap()[0].to_vec::<i64>().unwrap(), [-300, 77]);
}

#[test]
fn an_integer_that_64_bits_with_a_sign_do_not_hold_is_refused() {
    let large = TensorProto {
        name: "large".into(),
        data_type: U64,
        uint64_data: vec![1 << 63],
        ..Default::default()
    };
    let ends = [(U64, &[2][..]), (U64, &[2])];
    let refused = refused(one(node("Add", &["x", "large"], &["y"]), vec![large], ends));
    assert!(refused.contains("`large`") && refused.contains("2^63"), "{refused}");
}

/// What `QuantizeLinear` gives for 16 bits: rounded to even, and cut to what 16 bits have.
#[test]
fn integers_that_become_narrower_wrap_around() {
    let values = [-1i64, 70_000, 40_000, -40_000, (1 << 32) + 7, 0];
    let cast = |to: i32| {
        let node = with(node("Cast", &["x"], &["y"]), &[int("to", to.into())]);
        let model = read(one(node, Vec::new(), [(I64, &[6][..]), (to, &[6])])).unwrap();
        let x = Tensor::from_vec(values.to_vec(), [6]).unwrap();
        let plan = model.plan_for(std::slice::from_ref(&x)).unwrap().run(&x).unwrap();
        let y = model.run(&[x]).unwrap()[0].to_vec::<i64>().unwrap();
        assert_eq!(plan.to_vec::<i64>().unwrap(), y);
        y
    };
    assert_eq!(cast(U16), values.map(|value| i64::from(value as u16)));
    assert_eq!(cast(I16), values.map(|value| i64::from(value as i16)));
    assert_eq!(cast(U32), values.map(|value| i64::from(value as u32)));
}

#[test]
fn levels_of_16_bits_are_told_apart_by_what_the_file_declares() {
    for (declared, zero, expected) in
        [(U16, 32768, [32768, 32770, 0, 65535]), (I16, 0, [0, 2, -32768, 32767])]
    {
        let zero = TensorProto {
            name: "zero".into(),
            data_type: declared,
            int32_data: vec![zero],
            ..Default::default()
        };
        let constants = vec![floats("step", &[], &[0.5]), zero];
        let quantize = node("QuantizeLinear", &["x", "step", "zero"], &["y"]);
        let model = read(one(quantize, constants, [(F32, &[4]), (declared, &[4])])).unwrap();
        let x = Tensor::from_vec(vec![0.2f32, 0.8, -20000.0, 20000.0], [4]).unwrap();
        assert_eq!(model.run(&[x]).unwrap()[0].to_vec::<i64>().unwrap(), expected);
    }
}

#[test]
fn scales_in_blocks_are_shared_by_neighbours() {
    let levels = TensorProto {
        name: "levels".into(),
        dims: vec![2, 4],
        data_type: U8,
        int32_data: vec![10, 20, 30, 40, 50, 60, 70, 80],
        ..Default::default()
    };
    let zero = TensorProto {
        name: "zero".into(),
        dims: vec![2, 2],
        data_type: U8,
        int32_data: vec![10, 0, 50, 80],
        ..Default::default()
    };
    let scales = floats("scales", &[2, 2], &[1.0, 0.5, 2.0, 0.25]);
    let dequantize = node("DequantizeLinear", &["levels", "scales", "zero"], &["w"]);
    let dequantize = with(dequantize, &[int("axis", 1), int("block_size", 2)]);
    let nodes = vec![dequantize, node("Add", &["x", "w"], &["y"])];
    let ends = (value("x", F32, &[2, 4]), value("y", F32, &[2, 4]));
    let model = read(graph(nodes, vec![levels, zero, scales], vec![ends.0], vec![ends.1])).unwrap();
    let y = model.run(&[Tensor::zeros([2, 4]).unwrap()]).unwrap()[0].to_vec::<f32>().unwrap();
    assert_eq!(y, [0.0, 10.0, 15.0, 20.0, 0.0, 20.0, -2.5, 0.0]);
}

#[test]
fn what_an_old_file_stretches_lies_along_the_axis_that_it_names() {
    let mut model = model(one(
        with(node("Add", &["x", "b"], &["y"]), &[int("broadcast", 1), int("axis", 1)]),
        vec![floats("b", &[2], &[10.0, 20.0])],
        [(F32, &[1, 2, 2]), (F32, &[1, 2, 2])],
    ));
    model.opset_import[0].version = 6;
    let bytes = prost::Message::encode_to_vec(&model);
    let model = tinytorch_onnx::OnnxModel::from_bytes("old", bytes).unwrap();
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [1, 2, 2]).unwrap();
    assert_eq!(model.run(&[x]).unwrap()[0].to_vec::<f32>().unwrap(), [11.0, 12.0, 23.0, 24.0]);
}

/// Bytes that spread over all that a byte has.
fn bytes(count: usize, step: i32) -> Vec<i32> {
    (0..count as i32).map(|i| (i * step) % 256).collect()
}

fn of_bytes(name: &str, dims: &[i64], values: Vec<i32>) -> TensorProto {
    let dims = dims.to_vec();
    TensorProto { name: name.into(), dims, data_type: U8, int32_data: values, ..Default::default() }
}

/// 600 products of bytes are more than floats add exactly at once.
#[test]
fn long_sums_of_products_of_bytes_are_exact() {
    let (a, b) = (bytes(2 * 600, 37), bytes(600 * 2, 101));
    let constants = vec![
        of_bytes("b", &[600, 2], b.clone()),
        of_bytes("a_zero", &[], vec![3]),
        of_bytes("b_zero", &[2], vec![5, 250]),
    ];
    let product = node("MatMulInteger", &["x", "b", "a_zero", "b_zero"], &["y"]);
    let model = read(one(product, constants, [(U8, &[2, 600]), (I32, &[2, 2])])).unwrap();
    let x = Tensor::from_vec(a.iter().map(|v| *v as u8).collect::<Vec<_>>(), [2, 600]).unwrap();
    let y = model.run(&[x]).unwrap()[0].to_vec::<i32>().unwrap();
    let expected = |row: usize, column: usize| -> i32 {
        let zero = [5, 250][column];
        (0..600).map(|k| (a[row * 600 + k] - 3) * (b[k * 2 + column] - zero)).sum()
    };
    assert_eq!(y, [expected(0, 0), expected(0, 1), expected(1, 0), expected(1, 1)]);
}

/// A convolution of 2 groups of 70 channels with a border, whose every result is a sum of up to 630 products.
#[test]
fn long_sums_of_a_convolution_of_bytes_are_exact() {
    const WITHIN: usize = 70;
    let (x, w) = (bytes(2 * WITHIN * 9, 37), bytes(2 * WITHIN * 9, 101));
    let constants = vec![
        of_bytes("w", &[2, WITHIN as i64, 3, 3], w.clone()),
        of_bytes("x_zero", &[], vec![128]),
        of_bytes("w_zero", &[2], vec![7, 200]),
    ];
    let pads = tinytorch_onnx::proto::AttributeProto {
        name: "pads".into(),
        r#type: 7,
        ints: vec![1; 4],
        ..Default::default()
    };
    let conv = node("ConvInteger", &["x", "w", "x_zero", "w_zero"], &["y"]);
    let conv = with(conv, &[int("group", 2), pads]);
    let sizes = [1, 2 * WITHIN as i64, 3, 3];
    let model = read(one(conv, constants, [(U8, &sizes), (I32, &[1, 2, 3, 3])])).unwrap();
    let input: Vec<u8> = x.iter().map(|v| *v as u8).collect();
    let input = Tensor::from_vec(input, [1, 2 * WITHIN, 3, 3]).unwrap();
    let y = model.run(&[input]).unwrap()[0].to_vec::<i32>().unwrap();
    for (at, got) in y.iter().enumerate() {
        let (out, row, column) = (at / 9, at / 3 % 3, at % 3);
        let mut expected = 0;
        for channel in 0..WITHIN {
            for (kr, kc) in (0..9).map(|i| (i / 3, i % 3)) {
                let (r, c) = (row + kr, column + kc);
                if (1..4).contains(&r) && (1..4).contains(&c) {
                    let x = x[((out * WITHIN + channel) * 3 + r - 1) * 3 + c - 1] - 128;
                    let w = w[((out * WITHIN + channel) * 3 + kr) * 3 + kc] - [7, 200][out];
                    expected += x * w;
                }
            }
        }
        assert_eq!(*got, expected, "result {at}");
    }
}

/// A kernel of 2 x 1 x 1 with strides, a border in depth and groups, by the sum that defines it.
#[test]
fn volumes_are_convolved_in_depth_too() {
    let x: Vec<f32> = (0..2 * 2 * 3 * 2 * 2).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
    let w = [1.0f32, -2.0, 0.5, 3.0];
    let bias = [10.0f32, 20.0];
    let list = |name: &str, ints: &[i64]| tinytorch_onnx::proto::AttributeProto {
        name: name.into(),
        r#type: 7,
        ints: ints.to_vec(),
        ..Default::default()
    };
    let conv = with(
        node("Conv", &["x", "w", "b"], &["y"]),
        &[int("group", 2), list("pads", &[1, 0, 0, 1, 0, 0]), list("strides", &[2, 1, 1])],
    );
    let constants = vec![floats("w", &[2, 1, 2, 1, 1], &w), floats("b", &[2], &bias)];
    let ends = [(F32, &[-1, 2, 3, 2, 2][..]), (F32, &[-1, 2, 2, 2, 2])];
    let model = read(one(conv, constants, ends)).unwrap();
    let input = Tensor::from_vec(x.clone(), [2, 2, 3, 2, 2]).unwrap();
    let y = model.run(std::slice::from_ref(&input)).unwrap()[0].to_vec::<f32>().unwrap();
    let mut expected = Vec::new();
    for (image, channel) in (0..4).map(|i| (i / 2, i % 2)) {
        for (slice, place) in (0..8).map(|i| (i / 4, i % 4)) {
            let term = |k: usize| match (2 * slice + k).checked_sub(1).filter(|depth| *depth < 3) {
                Some(depth) => {
                    w[channel * 2 + k] * x[((image * 2 + channel) * 3 + depth) * 4 + place]
                }
                None => 0.0,
            };
            expected.push(bias[channel] + term(0) + term(1));
        }
    }
    assert_eq!(y, expected);
    let mut plan = model.plan_for(&[input.slice(0, 0..1).unwrap()]).unwrap();
    assert_eq!(
        plan.run(&input).unwrap().to_vec::<f32>().unwrap(),
        expected,
        "as a plan of other batches"
    );
}
