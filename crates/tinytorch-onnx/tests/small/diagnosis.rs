//! What is wrong with an int8 file is named by the tensor, and what an engine would make of it that misreads it is what a
//! file gives that is written so.

use super::support::*;
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tinytorch::Tensor;
use tinytorch::nn::Module;
use tinytorch_onnx::proto::{ModelProto, TensorProto};
use tinytorch_onnx::{AgainstFloat, Misreading, OnnxModel, against_float, in_seven_bits};

const SIZE: usize = 6;

/// A file of a layer `[out, in]` over levels.
#[derive(Clone)]
struct Written {
    levels: Vec<i32>,
    scales: Vec<f32>,
    zero_points: Option<Vec<i32>>,
    unsigned: bool,
    axis: i64,
    input_zero: i32,
    read_zero: i32,
}

/// The float weight, whose channels have ranges and middles of their own.
fn float() -> Vec<f32> {
    let value = |i: usize| {
        let (channel, k) = (i / SIZE, i % SIZE);
        let spread = ((i * 37 + 11) % 19) as f32 / 9.0 - 1.0;
        (1 + channel) as f32 * 0.1 * (spread + 0.4 * (k % 2) as f32)
    };
    (0..SIZE * SIZE).map(value).collect()
}

impl Written {
    fn symmetric() -> Written {
        let float = float();
        let largest = |row: &[f32]| row.iter().fold(0.0f32, |most, w| most.max(w.abs()));
        let scales: Vec<f32> = float.chunks(SIZE).map(|row| largest(row) / 127.0).collect();
        let level = |(i, w): (usize, &f32)| (w / scales[i / SIZE]).round() as i32;
        let levels = float.iter().enumerate().map(level).collect();
        let (axis, unsigned, zero_points) = (0, false, None);
        Written { levels, scales, zero_points, unsigned, axis, input_zero: 120, read_zero: 120 }
    }

    fn asymmetric() -> Written {
        let float = float();
        let ends = |row: &[f32]| {
            let fold = |f: fn(f32, f32) -> f32| row.iter().fold(0.0, |end, w| f(end, *w));
            (fold(f32::min), fold(f32::max))
        };
        let rows: Vec<(f32, f32)> = float.chunks(SIZE).map(ends).collect();
        let scales: Vec<f32> = rows.iter().map(|(low, high)| (high - low) / 255.0).collect();
        let zeros: Vec<i32> =
            rows.iter().zip(&scales).map(|((low, _), s)| (-low / s).round() as i32).collect();
        let level = |(i, w): (usize, &f32)| (w / scales[i / SIZE]).round() as i32 + zeros[i / SIZE];
        let levels = float.iter().enumerate().map(level).map(|level| level.clamp(0, 255)).collect();
        Written { levels, scales, zero_points: Some(zeros), unsigned: true, ..Written::symmetric() }
    }

    fn saved(&self) -> (TempDir, PathBuf) {
        let size = SIZE as i64;
        let bytes = |name: &str, unsigned: bool, dims: &[i64], values: &[i32]| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: if unsigned { 2 } else { 3 },
            int32_data: values.to_vec(),
            ..Default::default()
        };
        let mut constants = vec![
            floats("step", &[], &[1.0 / 32.0]),
            bytes("zero", true, &[], &[self.input_zero]),
            bytes("read", true, &[], &[self.read_zero]),
            bytes("w_quantized", self.unsigned, &[size, size], &self.levels),
            floats("s", &[self.scales.len() as i64], &self.scales),
        ];
        let mut weight = vec!["w_quantized", "s"];
        if let Some(zero_points) = &self.zero_points {
            constants.push(bytes("z", self.unsigned, &[size], zero_points));
            weight.push("z");
        }
        let nodes = vec![
            node("QuantizeLinear", &["x", "step", "zero"], &["q"]),
            node("DequantizeLinear", &["q", "step", "read"], &["d"]),
            with(node("DequantizeLinear", &weight, &["w"]), &[int("axis", self.axis)]),
            with(node("Gemm", &["d", "w"], &["y"]), &[int("transB", 1)]),
        ];
        let ends = (value("x", F32, &[-1, size]), value("y", F32, &[-1, size]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("int8.onnx");
        let graph = graph(nodes, constants, vec![ends.0], vec![ends.1]);
        std::fs::write(&path, model(graph).encode_to_vec()).unwrap();
        (folder, path)
    }

    fn against(&self, float: Vec<f32>) -> AgainstFloat {
        let (_folder, path) = self.saved();
        let float = Tensor::from_vec(float, [SIZE, SIZE]).unwrap();
        against_float(&path, &BTreeMap::from([("w".to_string(), float)])).unwrap()
    }

    fn outputs(&self) -> Vec<f32> {
        let (_folder, path) = self.saved();
        outputs(&OnnxModel::open(&path).unwrap())
    }
}

fn outputs(model: &OnnxModel) -> Vec<f32> {
    let x = (0..4 * SIZE).map(|i| ((i * 29) % 83) as f32 / 20.0 - 2.0).collect();
    let x = Tensor::from_vec(x, [4, SIZE]).unwrap();
    model.run(&[x]).unwrap()[0].to_vec().unwrap()
}

fn only_fault(found: AgainstFloat) -> String {
    assert_eq!((found.compared, found.faults.len()), (1, 1), "{found:?}");
    found.faults[0].clone()
}

#[test]
fn a_file_that_is_right_has_no_faults() {
    for written in [Written::symmetric(), Written::asymmetric()] {
        assert_eq!(written.against(float()), AgainstFloat { faults: vec![], compared: 1 });
    }
}

#[test]
fn a_norm_that_was_folded_is_no_fault() {
    let folded = |(i, w): (usize, f32)| w * [0.5, 2.0, 1.1, 0.2, 7.0, 1.0][i / SIZE];
    let float = float().into_iter().enumerate().map(folded).collect();
    assert_eq!(Written::symmetric().against(float).faults, Vec::<String>::new());
}

#[test]
fn faults_of_a_weight_are_named() {
    let along_inputs = Written { axis: 1, ..Written::symmetric() };
    let told = only_fault(along_inputs.against(float()));
    assert!(
        told.contains("`w_quantized` are read along axis 1, and are those of axis 0"),
        "{told}"
    );

    let mut moved = Written::symmetric();
    moved.scales.rotate_right(1);
    let told = only_fault(moved.against(float()));
    assert!(told.contains("stand beside other channels than theirs"), "{told}");

    let scales = Written::symmetric().scales.iter().map(|scale| 2.0 * scale).collect();
    let told = only_fault(Written { scales, ..Written::symmetric() }.against(float()));
    assert!(told.contains("2.00 times what its levels need"), "{told}");

    let middle = Written { zero_points: Some(vec![128; SIZE]), ..Written::asymmetric() };
    let told = only_fault(middle.against(float()));
    assert!(told.contains("is asymmetric and read as symmetric"), "{told}");

    let told = only_fault(Written { zero_points: None, ..Written::asymmetric() }.against(float()));
    assert!(told.contains("the zero point of `w_quantized` is left out"), "{told}");
}

#[test]
fn levels_that_are_read_with_another_zero_point_are_named() {
    let told = only_fault(Written { read_zero: 0, ..Written::symmetric() }.against(float()));
    assert!(told.contains("`q`") && told.contains("120 levels"), "{told}");
}

#[test]
fn a_misread_file_is_one_that_is_written_so() {
    let right = Written::asymmetric();
    let first = vec![right.scales[0]; SIZE];
    // Written with a square of zero points that are all the same, so that they lie along either axis.
    let same = Written { zero_points: Some(vec![130; SIZE]), ..right.clone() };
    for (how, file, wrong) in [
        (
            Misreading::SymmetricWeights,
            &right,
            Written { zero_points: Some(vec![128; SIZE]), ..right.clone() },
        ),
        (Misreading::NoWeightZeroPoints, &right, Written { zero_points: None, ..right.clone() }),
        (Misreading::NoInputZeroPoints, &right, Written { read_zero: 0, ..right.clone() }),
        (Misreading::OneScale, &right, Written { scales: first, ..right.clone() }),
        (Misreading::OtherAxis, &same, Written { axis: 1, ..same.clone() }),
    ] {
        let (_folder, path) = file.saved();
        let misread = OnnxModel::from_bytes("misread", how.of(&path).unwrap().unwrap()).unwrap();
        assert_eq!(outputs(&misread), wrong.outputs(), "{how:?}");
        assert_ne!(wrong.outputs(), file.outputs(), "{how:?}");
    }
    let (_folder, path) = Written::symmetric().saved();
    assert_eq!(Misreading::SymmetricWeights.of(&path).unwrap(), None);
}

/// The same file with a second layer, whose weight is so large that it stays in the file until it is asked for.
fn followed_by_much(path: &Path) {
    let mut file = ModelProto::decode(&std::fs::read(path).unwrap()[..]).unwrap();
    let graph = file.graph.as_mut().unwrap();
    let columns = 4000;
    let much: Vec<f32> = (0..SIZE * columns).map(|i| (i % 7) as f32 - 3.0).collect();
    graph.initializer.push(floats("much", &[SIZE as i64, columns as i64], &much));
    graph.node.push(node("MatMul", &["y", "much"], &["more"]));
    graph.output = vec![value("more", F32, &[-1, columns as i64])];
    std::fs::write(path, file.encode_to_vec()).unwrap();
}

#[test]
fn what_stayed_in_the_file_is_in_a_misread_one() {
    let right = Written::asymmetric();
    let wrong = Written { zero_points: None, ..right.clone() };
    let [(_kept, right), (_too, wrong)] = [right, wrong].map(|written| written.saved());
    [&right, &wrong].into_iter().for_each(|path| followed_by_much(path));
    let misread = Misreading::NoWeightZeroPoints.of(&right).unwrap().unwrap();
    let misread = OnnxModel::from_bytes("misread", misread).unwrap();
    assert_eq!(outputs(&misread), outputs(&OnnxModel::open(&wrong).unwrap()));
}

#[test]
fn weights_of_7_bits_mean_the_same_and_do_not_saturate() {
    let broken = |model: &OnnxModel| {
        let params = model.named_params().into_iter();
        params.filter_map(|(_, p)| p.int8()).any(|weight| !weight.panels().pair_rule_holds())
    };
    let (_folder, path) = Written::symmetric().saved();
    let model = OnnxModel::open(&path).unwrap();
    let halved = OnnxModel::from_bytes("halved", in_seven_bits(&path).unwrap().unwrap()).unwrap();
    assert!(broken(&model) && !broken(&halved));
    let (a, b) = (outputs(&model), outputs(&halved));
    let largest = a.iter().fold(0.0f32, |most, y| most.max(y.abs()));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.02 * largest), "{a:?} {b:?}");
}
