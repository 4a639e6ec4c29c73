//! Models that other programs have saved.

use crate::support::Bench;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::data::{read_npy, write_npy};

/// A file of the library's own test data.
fn resnet20(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tinytorch/tests/data/resnet20").join(name)
}

/// A folder with the published weights of ResNet-20 in `theirs.safetensors`.
fn bench() -> Bench {
    let bench = Bench::new();
    let weights = std::fs::read(resnet20("resnet20-12fca82f.safetensors")).unwrap();
    bench.write("theirs.safetensors", &weights);
    bench
}

/// The images that the reference logits are of, see `reference.py` beside them.
fn synthetic_images() -> Tensor {
    let mut state = 1u32;
    let pixel = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32 / 255.0
    };
    Tensor::from_vec((0..8 * 3 * 32 * 32).map(pixel).collect(), [8, 3, 32, 32]).unwrap()
}

#[test]
fn an_imported_model_needs_no_more_explanation() {
    let bench = bench();
    let told = bench.good("import theirs.safetensors --architecture resnet20 --out m.safetensors");
    assert!(told.contains("271098 parameters"), "{told}");
    let metadata = &bench.json("inspect m.safetensors")["metadata"];
    assert_eq!(metadata["imported_from"], "theirs.safetensors");
    assert!(metadata["architecture"].as_str().unwrap().contains("0.485"), "{metadata}");

    write_npy(bench.path("x.npy"), &synthetic_images()).unwrap();
    bench.good("run m.safetensors --input x.npy --out y.npy");
    let got = read_npy(bench.path("y.npy")).unwrap();
    let want = read_npy(resnet20("logits.npy")).unwrap();
    assert!(got.allclose(&want, 1e-4, 1e-4).unwrap());

    let report = bench.json("quantize m.safetensors --calibrate x.npy --out q.safetensors");
    assert_eq!(report["weights"].as_array().unwrap().len(), 20);
    assert_eq!(report["folded"].as_array().unwrap().len(), 19);
    bench.good("run q.safetensors --input x.npy --out z.npy");
    let int8 = read_npy(bench.path("z.npy")).unwrap();
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    let error = norm(&int8.sub(&want).unwrap()) / norm(&want);
    assert!(error < 0.05, "{error}");
}

#[test]
fn a_file_of_another_architecture_is_refused() {
    let bench = bench();
    let import = |file: &str, architecture: &str| {
        bench.refused(&format!("import {file} --architecture {architecture} --out m.safetensors"))
    };
    let other = import("theirs.safetensors", "digits-mlp");
    assert!(other.contains("\"layers.0.weight\" is missing"), "{other}");
    assert!(other.contains("another architecture"), "{other}");
    let unknown = import("theirs.safetensors", "resnet21");
    assert!(unknown.contains("there is no model \"resnet21\""), "{unknown}");
    let absent = import("nowhere.safetensors", "resnet20");
    assert!(absent.contains("cannot read nowhere.safetensors"), "{absent}");
    bench.write("cut.safetensors", &bench.read("theirs.safetensors")[..1_000_000]);
    let cut = import("cut.safetensors", "resnet20");
    assert!(cut.contains("truncated"), "{cut}");
}
