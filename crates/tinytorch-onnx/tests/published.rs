//! Published models give what ONNX Runtime gives, op by op and as plans, at the batch size of the reference and at
//! others. They lie in the folder that `TINYTORCH_SHARED` names; without it these tests say so and pass.

use std::path::PathBuf;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Npz, load, read_npy};
use tinytorch::nn::Module;
use tinytorch_onnx::OnnxModel;

/// As near as two orders of summation come.
const TOLERANCE: f32 = 1e-4;

fn shared(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("TINYTORCH_SHARED").map(|folder| PathBuf::from(folder).join(file));
    let found = path.filter(|path| path.exists());
    if found.is_none() {
        println!("skipped: set TINYTORCH_SHARED to a folder that holds {file}");
    }
    found
}

/// The largest difference, as a part of the largest value.
fn difference(got: &Tensor, want: &Tensor) -> f32 {
    assert_eq!(got.shape(), want.shape());
    let (got, want) = (got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    let largest = want.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / largest
}

/// CIFAR-10's images as levels from 0 to 255.
fn images() -> Option<Tensor> {
    let data = load(shared("data/cifar10")?).unwrap();
    let images = data.train.inputs().slice(0, 0..1000).unwrap().contiguous().unwrap();
    Some(images.map(|pixel| (pixel * 255.0).round()).unwrap())
}

/// Both forms on a batch, then the plan on smaller ones.
fn agrees_on_images(model: &OnnxModel, images: &Tensor, want: &Tensor) {
    let mut plan = model.plan().unwrap();
    for batch in [1, 7, 64] {
        let x = images.slice(0, 0..batch).unwrap().contiguous().unwrap();
        let want = want.slice(0, 0..batch).unwrap().contiguous().unwrap();
        let eager = model.run(std::slice::from_ref(&x)).unwrap();
        assert!(difference(&eager[0], &want) < TOLERANCE, "op by op, {batch}");
        assert!(difference(&plan.run(&x).unwrap(), &want) < TOLERANCE, "plan, {batch}");
    }
}

#[test]
fn resnet8() {
    let Some(folder) = shared("models/resnet8-cifar10") else { return };
    let Some(images) = images() else { return };
    let model = OnnxModel::open(folder.join("resnet8_fp32.onnx")).unwrap();
    let want = read_npy(folder.join("ref_probs_first1000.npy")).unwrap();
    agrees_on_images(&model, &images, &want);
}

#[test]
fn resnet20() {
    let Some(folder) = shared("models/resnet20-cifar10") else { return };
    let Some(images) = images() else { return };
    let model = OnnxModel::open(folder.join("resnet20-12fca82f.onnx")).unwrap();
    let want = read_npy(folder.join("ref_logits_first1000.npy")).unwrap();
    let channel = |values: [f32; 3]| Tensor::from_vec(values.to_vec(), [1, 3, 1, 1]).unwrap();
    let (mean, std) = (channel([0.485, 0.456, 0.406]), channel([0.229, 0.224, 0.225]));
    let images = images.scale(1.0 / 255.0).unwrap().sub(&mean).unwrap().div(&std).unwrap();
    agrees_on_images(&model, &images, &want);
    let weights = model.named_weights();
    assert_eq!(weights.len(), 20, "the layers that can be quantized");
}

fn detector(folder: &str, file: &str) {
    let Some(folder) = shared(folder) else { return };
    let model = OnnxModel::open(folder.join(file)).unwrap();
    let mut reference = Npz::open(folder.join("ref_io.npz")).unwrap();
    let x = reference.read("input").unwrap();
    let mut plan = model.plan().unwrap();
    let eager = model.run(std::slice::from_ref(&x)).unwrap();
    let planned = plan.run_many(&[&x]).unwrap();
    assert_eq!(model.outputs().len(), eager.len());
    for (i, output) in model.outputs().iter().enumerate() {
        let want = reference.read(&output.name).unwrap();
        let (eager, planned) = (difference(&eager[i], &want), difference(&planned[i], &want));
        assert!(eager < TOLERANCE && planned < TOLERANCE, "{}: {eager}, {planned}", output.name);
    }
}

#[test]
fn ultraface() {
    detector("models/ultraface-slim", "version-slim-320_simplified.onnx");
}

#[test]
fn yunet() {
    detector("models/yunet-n", "yunet_n_320_320.onnx");
}

#[test]
fn a_pass_that_is_recorded_gives_gradients_to_the_parameters() {
    use tinytorch::nn::Forward;
    let Some(folder) = shared("models/resnet8-cifar10") else { return };
    let model = OnnxModel::open(folder.join("resnet8_fp32.onnx")).unwrap();
    let mut ctx = Ctx::eval().recording();
    let x = vec![Var::from(Tensor::ones([2, 3, 32, 32]).unwrap())];
    let y = model.forward(&x, &mut ctx).unwrap().remove(0);
    let loss = y.mul(&y, &mut ctx).unwrap().sum(&mut ctx).unwrap();
    let grads = ctx.backward(&loss).unwrap();
    let trained: Vec<_> =
        model.named_params().into_iter().filter(|(_, p)| p.is_trainable()).collect();
    assert!(trained.len() > 20);
    for (name, param) in trained {
        assert!(grads.of(param).is_some(), "{name}");
    }
}
