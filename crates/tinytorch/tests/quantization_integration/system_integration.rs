//! Quantization among everything else: whole workflows, and whole architectures.

use super::child;
use super::golden;
use super::parts::figures;
use super::support::{
    accuracy, bits, cnn, floats, held_out, mlp, output, plain, quantized, standardized_digits,
    subject, transformer,
};
use std::path::Path;
use tinytorch::audit::{AuditOptions, Budget, Outcome, audit_model};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::compress::{Scope, magnitude_prune};
use tinytorch::data::{DataLoader, Dataset, RandomCrop};
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Forward, Init, Module};
use tinytorch::optim::{Adam, Schedule, Sgd};
use tinytorch::plan::Plan;
use tinytorch::profile::{LayerRow, ParameterCount, Profile, profile, profile_passes};
use tinytorch::quant::{Activations, QuantRecord, quantize_model};
use tinytorch::train::{Classification, Trainer};

fn images(count: usize) -> Var {
    held_out().inputs().slice(0, 0..count).unwrap().into()
}

/// Every part that comes before quantization gives the figures that are stored in the repository, and quantizing
/// models, running and training them leaves it as it was, to the bit.
#[test]
fn test_complete_system_01_to_15_stable() {
    let before = figures().unwrap();
    assert_eq!(before.len(), 15);
    golden::check(&before);
    let (mut int8, _) = quantized(cnn(), &images(64), Activations::Static);
    let loader = DataLoader::new(standardized_digits().train, 64).unwrap();
    Trainer::new(Classification, Sgd::new(1e-3)).fit(&mut int8, &loader, None, 1).unwrap();
    profile_passes(&*int8, images(2).value(), 1).unwrap();
    let (int8, _) = quantized(transformer(), &images(64), Activations::Dynamic);
    output(&int8, &images(64));
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for ((part, before), (_, after)) in before.into_iter().zip(figures().unwrap()) {
        assert!(bits(&before) == bits(&after), "{part} changed");
    }
}

/// Batches of any size, in any order, prefetched on another thread or not, give the answers of one batch
/// of everything.
#[test]
fn test_quantized_dataloader_pipeline() {
    for activations in [Activations::Static, Activations::Dynamic] {
        let (int8, _) = quantized(cnn(), &images(64), activations);
        let whole = output(&int8, &images(600));
        for (size, prefetch) in [(1, 0), (7, 2), (64, 0), (600, 2)] {
            let loader =
                DataLoader::new(held_out(), size).unwrap().shuffle(true).prefetch(prefetch);
            let mut seen = 0;
            for (index, batch) in loader.epoch(3).enumerate() {
                let batch = batch.unwrap();
                let answers = output(&int8, &batch.inputs().into());
                for (row, &sample) in
                    loader.order(3)[index * size..].iter().take(batch.len()).enumerate()
                {
                    let (a, b) =
                        (answers.select(0, row).unwrap(), whole.select(0, sample).unwrap());
                    assert_eq!(bits(&a), bits(&b), "sample {sample} in batches of {size}");
                }
                seen += batch.len();
            }
            assert_eq!(seen, 600);
        }
    }
    let crop = RandomCrop::new(8, 8, 1).unwrap();
    let loader = DataLoader::new(held_out(), 50).unwrap().transform(crop);
    let (int8, _) = quantized(cnn(), &images(64), Activations::Static);
    for batch in loader.epoch(0) {
        assert_eq!(output(&int8, &batch.unwrap().inputs().into()).rank(), 2);
    }
    assert_eq!(held_out().len(), 600);
}

/// Train, quantize, save, load, fine-tune, stop, resume: at the end stands the model that was never
/// stopped.
#[test]
fn test_quantized_training_workflow() {
    let data = standardized_digits();
    let loader = DataLoader::new(data.train, 64).unwrap().shuffle(true).seed(4);
    let mut float = Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(8)).unwrap();
    Trainer::new(Classification, Adam::new(3e-3)).fit(&mut float, &loader, None, 2).unwrap();
    let (int8, _) = quantized(&float, &images(64), Activations::Static);

    let folder = tempfile::tempdir().unwrap();
    let (saved, checkpoint) = (folder.path().join("int8"), folder.path().join("checkpoint"));
    save_model(&saved, &*int8, &Provenance::default()).unwrap();
    let trainer = || {
        let total = 4 * loader.len() as u64;
        let schedule = Schedule::Cosine { warmup: 5, total, floor: 0.1 };
        Trainer::new(Classification, Adam::new(2e-3)).seed(9).schedule(schedule)
    };
    let mut whole = load_model(&saved).unwrap().model;
    assert_eq!(bits(&output(&whole, &images(9))), bits(&output(&int8, &images(9))));
    let mut tuning = trainer();
    let unseen = DataLoader::new(held_out(), 64).unwrap();
    let before = tuning.evaluate(&whole, &unseen).unwrap();
    tuning.fit(&mut whole, &loader, None, 4).unwrap();
    let after = tuning.evaluate(&whole, &unseen).unwrap();
    assert!(after.loss < before.loss, "{before:?} became {after:?}");

    let mut first = load_model(&saved).unwrap().model;
    let mut half = trainer();
    half.fit(&mut first, &loader, None, 2).unwrap();
    half.save_model(&checkpoint, &*first, &Provenance::default()).unwrap();
    let mut second = load_model(&saved).unwrap().model;
    let mut rest = trainer();
    rest.resume(&checkpoint, &mut *second).unwrap();
    rest.fit(&mut second, &loader, None, 2).unwrap();
    assert_eq!(floats(&*second), floats(&*whole));
    assert_eq!(bits(&output(&second, &images(30))), bits(&output(&whole, &images(30))));
}

/// The profiler tells of the same model in both forms: fewer bytes, the same work, and which kernel ran.
#[test]
fn test_quantization_plus_profiling() {
    let (int8, report) = quantized(mlp(), &images(64), Activations::Static);
    let [before, after] = [mlp(), &int8].map(|model| profile(&**model, images(8).value()).unwrap());
    let weights: usize = report.weights.iter().map(|weight| weight.float_bytes).sum();
    let saved = before.parameters.bytes - after.parameters.bytes;
    assert_eq!(saved as usize, weights - report.int8_bytes());
    assert_eq!(before.parameters.trainable - after.parameters.trainable, after.parameters.int8);
    for profile in [&before, &after] {
        assert!(profile.seconds.median > 0.0 && profile.passes > 0);
        let json = serde_json::to_value(profile).unwrap();
        assert!(json["layers"].as_array().unwrap().len() >= 7, "{json}");
        assert!(profile.to_string().contains("layers.1.weight"));
    }
}

/// A layer of an int8 model reads a quarter of the weight bytes and as many of activations, and what the parts of
/// a pass take adds up to the pass.
#[test]
fn test_quantization_with_profiler() {
    fn both<M: Forward<Output = Var> + Clone>(float: &M, activations: Activations) {
        let (int8, report) = quantized(float, &images(64), activations);
        let [a, b] =
            [float, &int8].map(|model| profile_passes(model, images(300).value(), 3).unwrap());
        // Of a table that is looked up, a pass reads some rows only.
        for weight in report.weights.iter().filter(|weight| weight.name != "positions.weight") {
            let read = |profile: &Profile| {
                let row = profile.layers.iter().find(|row| row.name == weight.name);
                row.unwrap_or_else(|| panic!("{} is not profiled", weight.name)).read_bytes as usize
            };
            let saved = read(&a) - read(&b);
            assert_eq!(saved, weight.float_bytes - weight.int8_bytes, "{}", weight.name);
            let values = weight.float_bytes / size_of::<f32>();
            let scales = weight.shape[0] * size_of::<f32>();
            assert_eq!(weight.int8_bytes, values + scales, "a quarter, and a scale for each row");
        }
        let count = |model: &M| -> usize {
            model.named_params().iter().map(|(_, param)| param.shape().len()).sum()
        };
        let total = |c: &ParameterCount| (c.float + c.int8 + c.buffers) as usize;
        assert_eq!((total(&a.parameters), total(&b.parameters)), (count(float), count(&int8)));
        for profile in [&a, &b] {
            let sum: u64 = profile.layers.iter().map(|row| row.nanoseconds).sum();
            assert_eq!(sum, profile.table_nanoseconds);
            let tail: Vec<&str> =
                profile.layers.iter().rev().take(2).map(|row| row.name.as_str()).collect();
            assert_eq!(tail, [LayerRow::OTHER, LayerRow::ALLOC]);
            let between = profile.layers.last().unwrap().nanoseconds as f64 / sum as f64;
            assert!(between < 0.1, "{profile}");
        }
        assert!(b.read_bytes < a.read_bytes, "{} of {}", b.read_bytes, a.read_bytes);
    }
    both(mlp(), Activations::Static);
    both(cnn(), Activations::Static);
    both(transformer(), Activations::Dynamic);
}

/// Code that was written for float models runs on int8 models as it is.
#[test]
fn test_quantized_models_work_with_existing_code() {
    /// Stands for any program that uses a model.
    fn program(model: &mut Box<dyn Model>) -> (f64, Vec<u32>) {
        let data = standardized_digits();
        let loader = DataLoader::new(data.train, 64).unwrap().shuffle(true);
        let mut trainer = Trainer::new(Classification, Sgd::new(1e-3).momentum(0.9));
        trainer.fit(model, &loader, None, 1).unwrap();

        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(images(3).value());
        let loss = model.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
        let gradients = ctx.backward(&loss).unwrap();
        assert!(gradients.of_input(&x).is_some());
        let bias = model.named_params().into_iter().find(|(name, _)| name.ends_with("0.bias"));
        assert!(gradients.of(bias.unwrap().1).is_some());

        let file = tempfile::NamedTempFile::new().unwrap();
        save_model(file.path(), &**model, &Provenance::default()).unwrap();
        let first = std::fs::read(file.path()).unwrap();
        let loaded = load_model(file.path()).unwrap().model;
        save_model(file.path(), &*loaded, &Provenance::default()).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), first, "save, load, save");

        let mut plan = Plan::compile(&*loaded, images(1).value()).unwrap();
        let deployed = plan.run(images(20).value()).unwrap();
        // A float plan folds batch norms, which rounds in another order.
        assert!(deployed.allclose(&output(model, &images(20)), 1e-4, 1e-4).unwrap());
        (accuracy(model), bits(&output(&loaded, &images(20))))
    }
    for float in [mlp(), cnn()] {
        let (before, _) = program(&mut float.clone());
        let (mut int8, _) = quantized(float, &images(64), Activations::Static);
        let (after, _) = program(&mut int8);
        assert!(after >= 0.99 * before, "{before} became {after}");
    }
}

/// From data to a verdict: train, prune, quantize, save, load, deploy, audit; no gate finds a fault.
#[test]
fn test_complete_tinytorch_system_stable() {
    // The audit counts the live heap, so that no other test may allocate meanwhile.
    if child::asked().is_none() {
        let test = "quantization_system_integration::test_complete_tinytorch_system_stable";
        let judged: usize = child::ask(test, Path::new("reference models"));
        assert_eq!(judged, 2);
        return;
    }
    let mut models = 0;
    for float in [mlp(), cnn()] {
        let mut float = float.clone();
        magnitude_prune(&mut *float, 0.2, Scope::Layer).unwrap();
        assert!(accuracy(&float) >= 0.95);
        let mut int8 = float.clone();
        let batches = standardized_digits().calibration(512, 0).unwrap();
        let config = plain(Activations::Static);
        let report = quantize_model(&mut int8, [Ok(Var::from(batches))], &config).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let record = QuantRecord::new(&config, &report);
        let mut provenance = Provenance::default();
        record.write(&mut provenance).unwrap();
        save_model(file.path(), &*int8, &provenance).unwrap();
        let loaded = load_model(file.path()).unwrap();
        assert_eq!(QuantRecord::read(&loaded.provenance).unwrap().changed, report.changed);
        let subject = subject(
            "loaded",
            float,
            loaded.model,
            held_out().inputs(),
            Activations::Static,
            report.changed,
        );
        let options = AuditOptions::default();
        let budget = Budget { float_floor: Some(95.0), ..Budget::default() };
        let judged = audit_model(&subject, &budget, &options).unwrap();
        for gate in &judged.gates {
            let measured_elsewhere = ["unseen", "process_memory", "no_f32_copy"].contains(&gate.id);
            let expected = if measured_elsewhere { Outcome::NotApplicable } else { Outcome::Pass };
            assert_eq!(gate.result, expected, "{gate:?}");
        }
        models += 1;
    }
    child::answer(&models);
}
