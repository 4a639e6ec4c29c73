//! ResNet-20 with published weights gives the logits that other programs give for them.

use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::data::{Dataset, Examples, load, read_npy};
use tinytorch::files::import_model;
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::Forward;
use tinytorch::plan::Plan;
use tinytorch::quant::{QuantConfig, apply, prepare_without_data, quantize_model};
use tinytorch::tensor::Dtype;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/resnet20");

pub(crate) fn resnet20() -> Box<dyn Model> {
    let weights = Path::new(FOLDER).join("resnet20-12fca82f.safetensors");
    import_model(weights, &Architecture::preset("resnet20").unwrap()).unwrap().model
}

/// The images that `reference.py` makes: bytes from a linear congruential generator.
pub(crate) fn synthetic_images() -> Tensor {
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

/// ResNet-20 in int8, its ranges from these images.
pub(crate) fn int8_resnet20(images: &Tensor) -> Box<dyn Model> {
    let mut model = resnet20();
    let config = QuantConfig::default().knowingly();
    let batches = (0..images.shape()[0]).step_by(64);
    let end = |start: usize| images.shape()[0].min(start + 64);
    let batches = batches.map(|start| Ok(images.slice(0, start..end(start))?.into()));
    let report = quantize_model(&mut *model, batches, &config).unwrap();
    assert_eq!((report.weights.len(), report.folded.len()), (20, 19));
    assert!(report.skipped.is_empty() && report.changed.is_empty());
    model
}

#[test]
fn levels_flow_through_every_block_and_floats_past_it() {
    let images = synthetic_images();
    let model = int8_resnet20(&images);
    let mut plan = Plan::compile(&*model, &images).unwrap();
    let eager = model.forward(&(&images).into(), &mut Ctx::eval()).unwrap();
    let bits = |t: &Tensor| -> Vec<u32> {
        t.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    assert_eq!(bits(&plan.run(&images).unwrap()), bits(eager.value()));
    let steps = plan.steps();
    let convolutions = || steps.iter().filter(|step| step.op.starts_with("conv2d"));
    assert!(convolutions().all(|step| step.kernel.unwrap().int8));
    let count = |dtype| convolutions().filter(|step| step.output.dtype == dtype).count();
    // The first convolution of each block writes what the second reads; the second's output is added
    // to the block's input, and so is the very first one's.
    assert_eq!((count(Dtype::U8), count(Dtype::F32)), (9, 10));
    assert!(!steps.iter().any(|step| ["batch_norm2d", "relu"].contains(&step.op)));
    // Images stay pixel by pixel from the first convolution to the mean of each channel.
    assert_eq!(steps.iter().filter(|step| step.op == "to_nchw").count(), 1);
}

#[test]
fn ranges_without_data_reach_through_sums_and_shortcuts_and_are_worse() {
    let images = synthetic_images();
    let float = resnet20();
    let config = QuantConfig::default().knowingly();
    let mut uncalibrated = resnet20();
    let example = (&images).into();
    let ranges = prepare_without_data(&*uncalibrated, &example, &config, None).unwrap();
    apply(&mut *uncalibrated, &ranges).unwrap();
    let logits = |model: &dyn Model| Plan::compile(model, &images).unwrap().run(&images).unwrap();
    let want = logits(&*float);
    let error = |model: &dyn Model| relative_error(&logits(model), &want);
    let (with, without) = (error(&*int8_resnet20(&images)), error(&*uncalibrated));
    assert!(with < without && without < 1.0, "{with} {without}");
}

/// The images of CIFAR-10's file and their labels, and the logits of the first thousand.
fn shared() -> Option<(Examples, Tensor)> {
    let Some(shared) = std::env::var_os("TINYTORCH_SHARED").map(PathBuf::from) else {
        println!("skipped: set TINYTORCH_SHARED to a folder that holds data/cifar10 and models");
        return None;
    };
    let data = load(shared.join("data/cifar10")).unwrap().train;
    let logits = shared.join("models/resnet20-cifar10/ref_logits_first1000.npy");
    Some((data, read_npy(logits).unwrap()))
}

fn top_1(logits: &Tensor) -> Vec<usize> {
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.to_vec::<f32>().unwrap().chunks(10).map(best).collect()
}

#[test]
fn int8_answers_as_float_on_real_images() {
    let Some((data, want)) = shared() else { return };
    let judged = data.inputs().slice(0, 0..1000).unwrap();
    let calibration = data.inputs().slice(0, 1000..1512).unwrap();
    let mut plan = Plan::compile(&*int8_resnet20(&calibration), &judged).unwrap();
    let got = plan.run(&judged).unwrap();

    let labels = data.labels().to_vec::<i64>().unwrap();
    let (float, int8) = (top_1(&want), top_1(&got));
    let agreeing = float.iter().zip(&int8).filter(|(a, b)| a == b).count();
    assert!(agreeing >= 990, "{agreeing} of 1000 answers agree");
    let right = |answers: &[usize]| {
        answers.iter().zip(&labels).filter(|&(&answer, &label)| answer as i64 == label).count()
    };
    assert!(right(&float).abs_diff(right(&int8)) <= 3, "{} {}", right(&float), right(&int8));

    // Both sides less the float mean, as the audit has it.
    let mean = want.mean_axis(0, true).unwrap();
    let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
    let error = norm(&got.sub(&want).unwrap()) / norm(&want.sub(&mean).unwrap());
    assert!(error <= 0.03, "{error}");
    println!("error {error}, {agreeing} agree, right {} -> {}", right(&float), right(&int8));
}

#[test]
fn real_images_get_the_reference_logits() {
    let Some((data, want)) = shared() else { return };
    assert!(data.len() > 1000);
    let images = data.inputs().slice(0, 0..1000).unwrap();
    let mut plan = Plan::compile(&*resnet20(), &images).unwrap();
    let got = plan.run(&images).unwrap();
    assert!(relative_error(&got, &want) < 1e-4);
    // The smallest logits count too.
    assert!(got.allclose(&want, 1e-4, 1e-4).unwrap());
}
