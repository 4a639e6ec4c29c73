//! Models and data that do not belong together.

use crate::support::Bench;
use tinytorch::Tensor;
use tinytorch::data::{digits, write_npy, write_npz};

fn npz(bench: &Bench, name: &str, shape: &[usize], value: f32, label: i64) {
    let n = shape[0];
    let mut inputs = Tensor::zeros(shape).unwrap();
    inputs.as_mut_slice::<f32>().unwrap()[0] = value;
    let labels = Tensor::from_vec(vec![label; n], [n]).unwrap();
    write_npz(bench.path(name), &[("x", &inputs), ("y", &labels)]).unwrap();
}

#[test]
fn samples_of_another_shape() {
    let bench = Bench::with_models();
    npz(&bench, "wide.npz", &[10, 1, 28, 28], 0.5, 1);
    for command in [
        "train --model digits-mlp --out n.safetensors --data wide.npz",
        "quantize m.safetensors --out n.safetensors --calibrate wide.npz",
        "eval m.safetensors --data wide.npz",
        "audit m.safetensors q.safetensors --data wide.npz",
        "run m.safetensors --out y.npy --input wide.npz",
    ] {
        let line = bench.refused(command);
        assert!(line.contains("[1, 28, 28]") && line.contains("the model takes [64]"), "{line}");
    }
    let line = bench.refused("train --model mnist-cnn --data digits --out n.safetensors");
    assert!(line.contains("[1, 8, 8]") && line.contains("[1, 28, 28]"), "{line}");
}

#[test]
fn labels_beyond_the_classes_of_the_model() {
    let bench = Bench::with_models();
    npz(&bench, "eleven.npz", &[10, 1, 8, 8], 0.5, 10);
    for command in [
        "train --model digits-mlp --out n.safetensors --data",
        "eval m.safetensors --data",
        "audit m.safetensors q.safetensors --data",
    ] {
        let line = bench.refused(&format!("{command} eleven.npz"));
        assert!(line.contains("label 10 of sample 0 is outside 0..10"), "{line}");
    }
}

#[test]
fn calibration_that_overflows() {
    let bench = Bench::with_model();
    npz(&bench, "huge.npz", &[20, 1, 8, 8], 3e38, 1);
    let huge = Tensor::full(3e38f32, [4, 64]).unwrap();
    write_npy(bench.path("huge.npy"), &huge).unwrap();
    for huge in ["huge.npy", "huge.npz"] {
        let quantize = format!("quantize m.safetensors --calibrate {huge} --out q.safetensors");
        let line = bench.refused(&quantize);
        assert!(line.contains("values from 0 to 1") && line.contains("30000000"), "{line}");
    }
    let nan = Tensor::full(f32::NAN, [4, 64]).unwrap();
    write_npy(bench.path("nan.npy"), &nan).unwrap();
    let line = bench.refused("quantize m.safetensors --calibrate nan.npy --out q.safetensors");
    assert!(line.contains("NaN"), "{line}");
}

#[test]
fn models_in_the_wrong_places() {
    let bench = Bench::with_models();
    let line = bench.refused("audit q.safetensors q.safetensors --data digits");
    assert!(line.contains("name the float model"), "{line}");
    let line = bench.refused("audit m.safetensors m.safetensors --data digits");
    assert!(line.contains("holds no int8 weights"), "{line}");
    bench.good("train --model digits-cnn --data digits --epochs 1 --out cnn.safetensors");
    let line = bench.refused("audit cnn.safetensors q.safetensors --data digits");
    assert!(line.contains("another architecture"), "{line}");
}

#[test]
fn nothing_to_quantize() {
    let bench = Bench::with_model();
    let quantize = "quantize m.safetensors --calibrate digits --out q.safetensors";
    let all = "--skip layers.0.weight layers.1.weight layers.2.weight";
    assert!(bench.refused(&format!("{quantize} {all}")).contains("nothing to quantize"));
    let line = bench.refused(&format!("{quantize} --skip layers.7.weight"));
    assert!(line.contains("layers.7.weight") && line.contains("layers.0.weight"), "{line}");
}

#[test]
fn calibration_that_is_missing_or_empty() {
    let bench = Bench::with_model();
    let line = bench.refused("quantize m.safetensors --out q.safetensors");
    assert!(line.contains("--calibrate"), "{line}");
    let quantize = "quantize m.safetensors --out q.safetensors --calibrate";
    assert!(bench.refused(&format!("{quantize} digits --samples 0")).contains("from 1 to"));
    write_npy(bench.path("none.npy"), &Tensor::zeros([0, 64]).unwrap()).unwrap();
    assert!(bench.refused(&format!("{quantize} none.npy")).contains("no samples"));
}

#[test]
fn data_whose_parts_do_not_match() {
    let bench = Bench::new();
    let train = "train --model digits-mlp --out n.safetensors --data";
    let inputs = digits().unwrap().test.unwrap().inputs().clone();
    let labels = Tensor::from_vec(vec![0i64; 10], [10]).unwrap();
    write_npz(bench.path("few.npz"), &[("x", &inputs), ("y", &labels)]).unwrap();
    let line = bench.refused(&format!("{train} few.npz"));
    assert!(line.contains("600 inputs") && line.contains("10 labels"), "{line}");
}
