//! Quantization among everything else: whole workflows, and whole architectures.

use super::child;
use super::parts::figures;
use super::support::{
    accuracy, agreement, bits, cnn, error, floats, held_out, hybrid, mlp, output, plain, quantized,
    standardized_digits, subject, transformer,
};
use std::collections::BTreeSet;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::audit::{AuditOptions, Budget, Outcome, audit_model, relative_error};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::compress::{Scope, magnitude_prune};
use tinytorch::data::{Batch, DataLoader, Dataset, Examples, RandomCrop, TensorDataset};
use tinytorch::files::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, CnnBlock, ImageText, ImageTextConfig, Model, ResnetConfig};
use tinytorch::nn::{Forward, Init, Module};
use tinytorch::optim::{Adam, Schedule, Sgd};
use tinytorch::plan::Plan;
use tinytorch::profile::{LayerRow, ParameterCount, profile, profile_passes};
use tinytorch::quant::{Activations, QuantRecord, is_weight, quantize_model};
use tinytorch::train::{Classification, Trainer};

fn images(count: usize) -> Var {
    held_out().inputs().slice(0, 0..count).unwrap().into()
}

/// Quantizing models, running and training them leaves every part that comes before it as it was, to
/// the bit.
#[test]
fn test_complete_system_01_to_15_stable() {
    let before = figures().unwrap();
    assert_eq!(before.len(), 15);
    for (part, values) in &before {
        assert!(values.iter().collect::<BTreeSet<_>>().len() > 1, "{part} gives nothing");
    }
    let (mut int8, _) = quantized(cnn(), &images(64), Activations::Static);
    let loader = DataLoader::new(held_out(), 64).unwrap();
    Trainer::new(Classification, Sgd::new(1e-3)).fit(&mut int8, &loader, None, 1).unwrap();
    profile_passes(&*int8, images(2).value(), 1).unwrap();
    let (int8, _) = quantized(transformer(), &images(64), Activations::Dynamic);
    output(&int8, &images(64));
    for ((part, before), (_, after)) in before.into_iter().zip(figures().unwrap()) {
        assert!(before == after, "{part} changed");
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
    let before = tuning.evaluate(&whole, &loader).unwrap();
    tuning.fit(&mut whole, &loader, None, 4).unwrap();
    let after = tuning.evaluate(&whole, &loader).unwrap();
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

#[test]
fn test_quantization_with_profiler() {
    fn both<M: Forward<Output = Var> + Clone>(float: &M, activations: Activations) {
        let (int8, _) = quantized(float, &images(64), activations);
        let [a, b] =
            [float, &int8].map(|model| profile_passes(model, images(4).value(), 5).unwrap());
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

/// Ways around layers, heads side by side, weights used twice: every weight becomes int8 once, and the
/// outputs stay near.
#[test]
fn test_quantization_complex_architectures() {
    let resnet = Architecture::Resnet(ResnetConfig {
        input: [3, 16, 16],
        mean: vec![0.5; 3],
        std: vec![0.25; 3],
        width: 8,
        blocks: 1,
        outputs: 10,
    });
    for (architecture, activations) in [
        (resnet, Activations::Static),
        (Architecture::preset("talks-gpt").unwrap(), Activations::Dynamic),
        (Architecture::preset("stories260K").unwrap(), Activations::Dynamic),
    ] {
        let float = architecture.build(&mut Init::seed(1)).unwrap();
        let example = architecture.example(4).unwrap();
        let (int8, report) = quantized(&float, &Var::from(&example), activations);
        assert!(report.skipped.is_empty());
        let (a, b) = (output(&float, &Var::from(&example)), output(&int8, &Var::from(&example)));
        assert_eq!(a.shape(), b.shape());
        let error = error(&float, &int8, &Var::from(&example));
        assert!(error < 0.05, "{architecture:?}: {error}");
        for (name, param) in int8.named_params() {
            assert_eq!(param.int8().is_some(), is_weight(param), "{name}");
        }
        let mut plan = Plan::compile(&*int8, &example).unwrap();
        assert_eq!(bits(&plan.run(&example).unwrap()), bits(&b), "the plan computes the same");
    }
    // Convolutions and attention in one model.
    let (int8, report) = quantized(hybrid(), &images(64), Activations::Dynamic);
    assert!(report.weights.iter().any(|weight| weight.name.contains("conv")));
    assert!(report.weights.iter().any(|weight| weight.name.contains("q_proj")));
    assert!(error(hybrid(), &int8, &images(360)) < 0.02);
    assert!(agreement(&output(hybrid(), &images(360)), &output(&int8, &images(360))) >= 0.99);
    // The table of a language model is its output head too: stored once, as int8.
    let gpt = Architecture::preset("talks-gpt").unwrap();
    let float = gpt.build(&mut Init::seed(1)).unwrap();
    let ids = Var::from(gpt.example(2).unwrap());
    let (int8, report) = quantized(&float, &ids, Activations::Dynamic);
    let tables = report.weights.iter().filter(|weight| weight.shape[0] == 69).count();
    assert_eq!(tables, 1, "{:?}", report.weights);
    assert!(agreement(&output(&float, &ids), &output(&int8, &ids)) > 0.8);
}

/// Digits, each with one of two questions: whether it is odd, or whether it is at least 5.
fn questions_on_digits(digits: &Examples) -> TensorDataset {
    let labels = digits.labels().to_vec::<i64>().unwrap();
    let (mut ids, mut answers) = (Vec::new(), Vec::new());
    for (index, digit) in labels.into_iter().enumerate() {
        let is_odd = index % 2 == 0;
        ids.extend(if is_odd { [1i64, 3, 4, 0] } else { [1, 2, 5, 6] });
        answers.push(if is_odd { digit % 2 } else { i64::from(digit >= 5) });
    }
    let count = answers.len();
    let ids = Tensor::from_vec(ids, [count, 4]).unwrap();
    let answers = Tensor::from_vec(answers, [count]).unwrap();
    TensorDataset::new([digits.inputs().clone(), ids, answers]).unwrap()
}

/// An image and a question about it: the answer needs both, and in int8 it is still right.
#[test]
fn test_multimodal_model_quantization() {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 16, pool: 2 }, CnnBlock { channels: 32, pool: 1 }],
        vocab: 7,
        context: 4,
        pad: 0,
        dim: 16,
        layers: 1,
        heads: 2,
        hidden: 64,
        outputs: 2,
    };
    let mut float = ImageText::new(&config, &mut Init::seed(0)).unwrap();
    let data = standardized_digits();
    let loader = DataLoader::new(questions_on_digits(&data.train), 64).unwrap().shuffle(true);
    let answering = |model: &ImageText, batch: &Batch, ctx: &mut Ctx<'_>| {
        let [images, ids, answers] = &batch.tensors[..] else { unreachable!("three fields") };
        model.forward(&(images.into(), ids.into()), ctx)?.cross_entropy(answers, ctx)
    };
    let epochs = 25;
    let total = epochs * loader.len() as u64;
    let schedule = Schedule::Cosine { warmup: 20, total, floor: 0.0 };
    let mut trainer = Trainer::new(answering, Adam::new(3e-3)).schedule(schedule);
    trainer.fit(&mut float, &loader, None, epochs).unwrap();

    let held_out = questions_on_digits(&data.test.unwrap());
    let [images, ids, answers] = held_out.tensors() else { unreachable!("three fields") };
    let given: (Var, Var) = (images.into(), ids.into());
    let answer = |model: &ImageText, given: &(Var, Var)| {
        model.forward(given, &mut Ctx::eval()).unwrap().into_value()
    };
    let right = |logits: &Tensor| {
        let (got, expected) = (logits.argmax_last().unwrap(), answers);
        let (got, expected) = (got.to_vec::<i64>().unwrap(), expected.to_vec::<i64>().unwrap());
        got.iter().zip(&expected).filter(|(a, b)| a == b).count() as f64 / got.len() as f64
    };
    let calibration = loader.epoch(0).take(8).map(|batch| {
        let batch = batch?;
        Ok(((&batch.tensors[0]).into(), (&batch.tensors[1]).into()))
    });
    let mut int8 = float.clone();
    let config = plain(Activations::Dynamic);
    let report = quantize_model(&mut int8, calibration, &config).unwrap();
    for tower in ["image.0.conv", "image.1.conv", "tokens", "text.0.attention.q_proj", "joint"] {
        let name = format!("{tower}.weight");
        assert!(report.weights.iter().any(|weight| weight.name == name), "{name}");
    }
    let (a, b) = (answer(&float, &given), answer(&int8, &given));
    let error = relative_error(&b, &a).unwrap();
    assert!(error > 0.0 && error < 0.02, "{error}");
    assert!(agreement(&a, &b) >= 0.99);
    assert!(right(&a) > 0.9 && right(&b) >= 0.99 * right(&a), "{} {}", right(&a), right(&b));
    // The other question gets other answers, so both towers are heard.
    let swapped = Var::from(
        Tensor::from_vec([1i64, 2, 5, 6].repeat(answers.len()), [answers.len(), 4]).unwrap(),
    );
    assert!(right(&answer(&int8, &((images).into(), swapped))) < 0.9);

    let example = (images.clone(), ids.clone());
    let mut plan = Plan::compile(&int8, &example).unwrap();
    assert_eq!(bits(&plan.run(&example).unwrap()), bits(&b));
    let profile = profile_passes(&int8, &example, 1).unwrap();
    assert!(profile.layers.iter().any(|row| row.name == "tokens.weight"), "{profile}");
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
