//! ResNet-20 with published weights gives the logits that other programs give for them.

use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::data::{Dataset, load, read_npy};
use tinytorch::io::import_model;
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::Forward;
use tinytorch::plan::Plan;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/resnet20");

fn resnet20() -> Box<dyn Model> {
    let weights = Path::new(FOLDER).join("resnet20-12fca82f.safetensors");
    import_model(weights, &Architecture::preset("resnet20").unwrap()).unwrap().model
}

/// The images that `reference.py` makes: bytes from a linear congruential generator.
fn synthetic_images() -> Tensor {
    let mut state = 1u32;
    let pixel = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32 / 255.0
    };
    Tensor::from_vec((0..8 * 3 * 32 * 32).map(pixel).collect(), [8, 3, 32, 32]).unwrap()
}

/// The largest difference, relative to the largest value.
fn relative_error(got: &Tensor, want: &Tensor) -> f32 {
    let largest = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().fold(0f32, |m, v| m.max(v.abs()));
    assert_eq!(got.shape(), want.shape());
    largest(&got.sub(want).unwrap()) / largest(want)
}

#[test]
fn synthetic_images_get_the_reference_logits() {
    let (model, images) = (resnet20(), synthetic_images());
    let want = read_npy(Path::new(FOLDER).join("logits.npy")).unwrap();
    let eager = model.forward(&(&images).into(), &mut Ctx::eval()).unwrap();
    assert!(relative_error(eager.value(), &want) < 1e-5);
    let mut plan = Plan::compile(&*model, &images).unwrap();
    assert!(relative_error(&plan.run(&images).unwrap(), &want) < 1e-5);
}

#[test]
fn real_images_get_the_reference_logits() {
    let Some(shared) = std::env::var_os("TINYTORCH_SHARED").map(PathBuf::from) else {
        println!("skipped: set TINYTORCH_SHARED to a folder that holds data/cifar10 and models");
        return;
    };
    let data = load(shared.join("data/cifar10")).unwrap().train;
    let images = data.inputs().slice(0, 0..1000).unwrap();
    let want = shared.join("models/resnet20-cifar10/ref_logits_first1000.npy");
    let want = read_npy(want).unwrap();
    assert!(data.len() > 1000);
    let mut plan = Plan::compile(&*resnet20(), &images).unwrap();
    let got = plan.run(&images).unwrap();
    assert!(relative_error(&got, &want) < 1e-4);
    // The smallest logits count too.
    assert!(got.allclose(&want, 1e-4, 1e-4).unwrap());
}
