//! Every way of making a model smaller composes with int8, each measured: size, accuracy, error.

use super::fit_support::{
    AnyModel, accuracy, calibration, fit, fit_to, held_out_digits, int8, output_error, outputs,
    trained, training_digits,
};
use super::train_support::values;
use tinytorch::autograd::{Ctx, Observer, OpRun};
use tinytorch::compress::{
    KnowledgeDistillation, Masks, Scope, magnitude_prune, measure_sparsity, structured_prune,
};
use tinytorch::data::DataLoader;
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::fit::factorize;
use tinytorch::int8::Granularity;
use tinytorch::models::{Architecture, MlpConfig, Model};
use tinytorch::nn::{Forward, Init, Module};
use tinytorch::optim::{Adam, Sgd};
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Tensor};

/// What is measured of a model.
#[derive(Debug)]
struct Measured {
    accuracy: f64,
    file_bytes: u64,
    flops: u64,
}

fn measure(model: &AnyModel) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_model(&path, &**model, &Provenance::default()).unwrap();
    let again = load_model(&path).unwrap().model;
    let images = held_out_digits().inputs().clone();
    let [want, got] = [model, &again].map(|m| outputs(&**m, &images).to_vec::<f32>().unwrap());
    assert_eq!(got, want, "a saved model is the same when it is loaded");
    Measured {
        accuracy: accuracy(model, &held_out_digits()),
        file_bytes: std::fs::metadata(path).unwrap().len(),
        flops: flops(&**model, &images.slice(0, 0..1).unwrap()),
    }
}

fn flops(model: &dyn Model, image: &Tensor) -> u64 {
    struct Sum(u64);
    impl Observer for Sum {
        fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
            self.0 += run.cost.flops;
            Ok(())
        }
    }
    let mut sum = Sum(0);
    model.forward(&image.into(), &mut Ctx::eval().observed(&mut sum)).unwrap();
    sum.0
}

/// Quantizes a copy: its error stays within the budget of 1 %, and its accuracy within 1 %.
fn quantized(what: &str, model: &AnyModel) -> AnyModel {
    quantized_within(0.01, what, model, &int8())
}

fn quantized_within(budget: f64, what: &str, model: &AnyModel, config: &QuantConfig) -> AnyModel {
    let images = held_out_digits().inputs().clone();
    let mut small = model.clone();
    quantize_model(&mut small, calibration(), config).unwrap();
    let error = output_error(&outputs(&**model, &images), &outputs(&*small, &images));
    let (before, after) = (measure(model), measure(&small));
    println!("{what}: {before:?} -> {after:?}, error {:.2} %", 100.0 * error);
    assert!(error < budget, "{what}: {error}");
    assert!(after.accuracy >= 0.99 * before.accuracy, "{what}: {before:?} -> {after:?}");
    assert!(after.file_bytes < before.file_bytes);
    small
}

#[test]
fn pruned_weights_stay_zero_in_training_and_in_int8() {
    let mut model = trained("digits-mlp");
    let dense = accuracy(&model, &held_out_digits());
    let masks = magnitude_prune(&mut model, 0.8, Scope::Global).unwrap();
    let zeros = measure_sparsity(&*model).unwrap();
    assert!((zeros.share() - 0.8).abs() < 1e-3, "{zeros:?}");
    fit(&mut model, &training_digits(), masks.clone().keep(Adam::new(2e-3)), 4);
    assert_eq!(measure_sparsity(&*model).unwrap(), zeros, "training has filled pruned weights");
    assert_eq!(Masks::of(&*model).unwrap(), masks);
    let sparse = accuracy(&model, &held_out_digits());
    assert!(sparse > dense - 0.02, "{dense} -> {sparse}");

    let small = quantized("pruned to 20 %", &model);
    assert!(measure_sparsity(&*small).unwrap().zeros >= zeros.zeros, "a zero is no longer one");
}

#[test]
fn a_model_without_half_its_channels_is_smaller_and_quantizes() {
    for (preset, epochs) in [("digits-mlp", 8), ("digits-cnn", 3)] {
        let mut model = trained(preset);
        let dense = measure(&model);
        let report = structured_prune(&mut model, 0.5).unwrap();
        assert!(report.layers.iter().all(|(_, before, after)| 2 * after == *before));
        let rebuilt = model.architecture().unwrap().build(&mut Init::seed(1)).unwrap();
        assert_eq!(rebuilt.param_count(), model.param_count());
        fit(&mut model, &training_digits(), Adam::new(2e-3), epochs);
        let narrow = measure(&model);
        assert!(10 * narrow.flops < 6 * dense.flops, "{dense:?} -> {narrow:?}");
        assert!(10 * narrow.file_bytes < 6 * dense.file_bytes);
        assert!(narrow.accuracy > dense.accuracy - 0.03, "{dense:?} -> {narrow:?}");
        quantized(&format!("{preset} with half the channels"), &model);
    }
}

/// Factors leave nothing redundant over which rounding would average out, and there are more activations to
/// round: a factored model keeps within 1 % only if these have 16 bits.
#[test]
fn a_factored_model_is_smaller_and_quantizes() {
    let mut model = trained("digits-mlp");
    let dense = measure(&model);
    let report = factorize(&mut model, "*", 16).unwrap();
    assert_eq!(report.kept, ["layers.2"]);
    assert!(report.factored.iter().all(|(_, lost)| (0.1..0.6).contains(lost)), "{report:?}");
    fit(&mut model, &training_digits(), Adam::new(2e-3), 3);
    let thin = measure(&model);
    assert!(2 * thin.file_bytes < dense.file_bytes && 2 * thin.flops < dense.flops);
    assert!(thin.accuracy > dense.accuracy - 0.02, "{dense:?} -> {thin:?}");

    quantized_within(0.02, "rank 16, static", &model, &int8());
    let precise =
        QuantConfig::new(Scheme::new(Granularity::Blocks, Activations::Dynamic)).knowingly();
    quantized_within(0.02, "rank 16, dynamic and blocks", &model, &precise);
    let config = QuantConfig::new(Activations::Dynamic16).knowingly();
    let small = quantized_within(0.01, "rank 16, activations of 16 bits", &model, &config);
    let int8 = small.named_weights().into_iter().filter(|(_, weight)| weight.int8().is_some());
    let names: Vec<String> = int8.map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["layers.0.weight", "layers.0.weight_down"]);
    assert_eq!(names.len(), 5);
}

#[test]
fn a_student_learns_from_its_teacher_and_quantizes() {
    let teacher = trained("digits-cnn");
    let config = MlpConfig { inputs: 64, hidden: vec![32], outputs: 10 };
    let student = Architecture::Mlp(config).build(&mut Init::seed(4)).unwrap();
    let few: Vec<usize> = (0..400).collect();
    let examples = training_digits().select(&few).unwrap();

    let mut alone = student.clone();
    fit(&mut alone, &examples, Adam::new(1e-2), 60);
    let mut taught = student;
    let objective = KnowledgeDistillation::new(teacher.clone(), 4.0, 0.9).unwrap();
    fit_to(objective, &mut taught, &examples, Adam::new(1e-2), 60);
    let images = held_out_digits().inputs().clone();
    let agreement = |model: &AnyModel| {
        let [a, b] = [model, &teacher]
            .map(|m| outputs(&**m, &images).argmax_last().unwrap().to_vec::<i64>().unwrap());
        a.iter().zip(&b).filter(|(a, b)| a == b).count()
    };
    let (of_taught, of_alone) = (agreement(&taught), agreement(&alone));
    println!("agrees with the teacher on {of_taught} of 360, without it on {of_alone}");
    assert!(of_taught > of_alone, "{of_taught} {of_alone}");
    quantized("student", &taught);
}

#[test]
fn an_int8_teacher_teaches_as_well() {
    let mut teacher = trained("digits-mlp");
    quantize_model(&mut teacher, calibration(), &int8()).unwrap();
    let config = MlpConfig { inputs: 64, hidden: vec![16], outputs: 10 };
    let mut student = Architecture::Mlp(config).build(&mut Init::seed(4)).unwrap();
    let objective = KnowledgeDistillation::new(teacher, 2.0, 1.0).unwrap();
    fit_to(objective, &mut student, &training_digits(), Adam::new(1e-2), 20);
    assert!(accuracy(&student, &held_out_digits()) > 0.9);
}

#[test]
fn a_pruned_training_resumes_with_the_masks_of_its_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let loader = DataLoader::new(training_digits(), 64).unwrap().shuffle(true).seed(2);
    let mut start = trained("digits-mlp");
    magnitude_prune(&mut start, 0.5, Scope::Layer).unwrap();
    let trainer = |model: &AnyModel| {
        let masks = Masks::of(&**model).unwrap();
        Trainer::new(Classification, masks.keep(Sgd::new(0.01).momentum(0.9)))
    };
    let (mut whole, mut one) = (start.clone(), trainer(&start));
    one.fit(&mut whole, &loader, None, 2).unwrap();
    let (mut half, mut two) = (start.clone(), trainer(&start));
    two.fit(&mut half, &loader, None, 1).unwrap();
    two.save_model(&path, &*half, &Provenance::default()).unwrap();
    let mut resumed = load_model(&path).unwrap().model;
    let mut three = trainer(&resumed);
    three.resume(&path, &mut *resumed).unwrap();
    three.fit(&mut resumed, &loader, None, 1).unwrap();
    assert_eq!(values(&resumed), values(&whole));
}

#[test]
fn misuse_is_told_in_a_sentence_and_changes_nothing() {
    let mut model = trained("digits-mlp");
    let before = values(&model);
    for sparsity in [-0.1, 1.0, f64::NAN] {
        let error = magnitude_prune(&mut model, sparsity, Scope::Layer).unwrap_err().to_string();
        assert!(error.contains("sparsity") && error.contains("below 1"), "{error}");
        assert!(structured_prune(&mut model, sparsity).is_err());
    }
    assert!(factorize(&mut model, "head", 4).unwrap_err().to_string().contains("layers.0"));
    assert!(KnowledgeDistillation::new((), 0.0, 0.5).is_err());
    let error = KnowledgeDistillation::new((), 1.0, 1.5).unwrap_err().to_string();
    assert!(error.contains("1.5"), "{error}");
    assert_eq!(values(&model), before);

    let masks = magnitude_prune(&mut model, 0.5, Scope::Layer).unwrap();
    let mut other = Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(1)).unwrap();
    let error = masks.apply(&mut *other).unwrap_err().to_string();
    assert!(error.contains("`layers.0.weight`"), "{error}");
    quantize_model(&mut model, calibration(), &int8()).unwrap();
    for error in [
        magnitude_prune(&mut model, 0.5, Scope::Layer).unwrap_err(),
        structured_prune(&mut model, 0.5).unwrap_err(),
        factorize(&mut model, "*", 4).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("`layers.0.weight` is int8"), "{error}");
    }
}
