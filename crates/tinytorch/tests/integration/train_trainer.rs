//! What a training promises: it learns, it stops where it should, and its errors leave the model as
//! the last complete step left it.

use super::train_support::{Net, circle, some_digits};
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Batch, DataLoader, Dataset, TensorDataset, digits};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::optim::{Adam, Schedule, Sgd};
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::train::{
    Classification, Clip, EarlyStopping, EpochRecord, Outcome, Progress, StepReport, TrainError,
    Trainer, Untrained, Watch, evaluate, frozen,
};
use tinytorch::{Error, Result, Tensor};

fn train_error(error: Error) -> TrainError {
    error.downcast().unwrap()
}

#[test]
fn a_small_network_learns_a_circle() {
    let loader = DataLoader::new(circle(400), 20).unwrap().shuffle(true);
    let mut model = Net::new(2, 16, 2, 1);
    let mut trainer = Trainer::new(Classification, Adam::new(0.02)).clip(Clip::Norm(1.0));
    let before = trainer.evaluate(&model, &loader).unwrap();
    let history = trainer.fit(&mut model, &loader, Some(&loader), 30).unwrap();
    assert_eq!(history.len(), 30);
    let after = trainer.evaluate(&model, &loader).unwrap();
    assert_eq!(trainer.history()[29].valid, Some(after));
    assert!(after.accuracy.unwrap() > 0.95, "{after:?}");
    assert!(after.loss < 0.5 * before.loss, "{before:?} {after:?}");
    assert_eq!((trainer.epochs(), trainer.steps(), after.samples), (30, 600, 400));
}

#[test]
fn a_network_reads_digits_that_it_has_not_seen() {
    let data = digits().unwrap();
    let loader = DataLoader::new(data.train, 64).unwrap().shuffle(true).prefetch(2);
    let held_out = DataLoader::new(data.test.unwrap(), 64).unwrap();
    let mut model = Net::new(64, 32, 10, 1);
    let total = 10 * loader.len() as u64;
    let mut trainer = Trainer::new(Classification, Adam::new(0.01)).schedule(Schedule::Cosine {
        warmup: 10,
        total,
        floor: 0.01,
    });
    trainer.fit(&mut model, &loader, None, 10).unwrap();
    let metrics = trainer.evaluate(&model, &held_out).unwrap();
    assert_eq!(metrics.samples, 600);
    assert!(metrics.accuracy.unwrap() > 0.95, "{metrics:?}");
}

type Loss = fn(&Linear, &Batch, &mut Ctx<'_>) -> Result<Var>;

/// Mean squared error.
fn squared_error(model: &Linear, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Var> {
    let error = model.forward(&batch.inputs().into(), ctx)?.sub(&batch.targets()?.into(), ctx)?;
    error.mul(&error, ctx)?.mean(ctx)
}

fn line(samples: usize) -> TensorDataset {
    let x = Tensor::arange(samples).unwrap().scale(1.0 / samples as f32).unwrap();
    let y = x.map(|x| 3.0 * x - 1.0).unwrap();
    let column = |t: Tensor| t.reshape([samples, 1]).unwrap();
    TensorDataset::new([column(x), column(y)]).unwrap()
}

#[test]
fn micro_batches_of_any_size_add_up_to_one_big_batch() {
    // 10 samples in batches of 4 are 4, 4 and 2: the mean must weigh samples, not batches.
    let start = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let train = |batch: usize, accumulate: usize| {
        let loader = DataLoader::new(line(10), batch).unwrap();
        let mut model = start.clone();
        let sgd = Sgd::new(0.3).momentum(0.9);
        let mut trainer = Trainer::new(squared_error, sgd).accumulate(accumulate);
        assert_eq!(trainer.steps_per_epoch(&loader), 1);
        let history = trainer.fit(&mut model, &loader, None, 5).unwrap().to_vec();
        assert_eq!(trainer.steps(), 5);
        (model.named_params()[0].1.value().unwrap().clone(), model.bias, history)
    };
    let (weight, bias, history) = train(10, 1);
    for (batch, accumulate) in [(5, 2), (4, 3), (1, 10), (4, 100)] {
        let (other_weight, other_bias, other_history) = train(batch, accumulate);
        assert!(other_weight.allclose(&weight, 0.0, 1e-6).unwrap());
        let (a, b) = (other_bias.unwrap(), bias.as_ref().unwrap().value().unwrap());
        assert!(a.value().unwrap().allclose(b, 0.0, 1e-6).unwrap());
        for (a, b) in other_history.iter().zip(&history) {
            assert!((a.train.loss - b.train.loss).abs() < 1e-6);
        }
    }
}

#[test]
fn a_loss_over_tokens_weighs_tokens() {
    // Two texts of 1 and 3 tokens: the mean over tokens is 4 / 4 * ..., not the mean of two means.
    let tokens = Tensor::from_vec(vec![2.0, 0.0, 0.0, 4.0, 4.0, 4.0], [2, 3]).unwrap();
    let loader = DataLoader::new(TensorDataset::new([tokens]).unwrap(), 1).unwrap();
    let objective = |_: &Linear, batch: &Batch, ctx: &mut Ctx<'_>| -> Result<Outcome> {
        let values = batch.inputs().to_vec::<f32>()?;
        let there: Vec<f32> = values.into_iter().filter(|v| *v != 0.0).collect();
        let n = there.len();
        let loss = Var::from(Tensor::from_vec(there, [n])?).mean(ctx)?;
        Ok(Outcome::new(loss).terms(n).correct(1))
    };
    let model = Linear::new(1, 1, &mut Init::seed(0)).unwrap();
    let metrics = evaluate(&model, &objective, &loader).unwrap();
    assert_eq!((metrics.loss, metrics.accuracy, metrics.samples), (3.5, Some(0.5), 2));
}

#[test]
fn a_loss_that_becomes_nan_names_its_step_and_leaves_the_step_before() {
    let loader = DataLoader::new(line(10), 2).unwrap();
    let calls = Cell::new(0);
    let objective = |model: &Linear, batch: &Batch, ctx: &mut Ctx<'_>| -> Result<Var> {
        let loss = squared_error(model, batch, ctx)?;
        calls.set(calls.get() + 1);
        if calls.get() < 8 { Ok(loss) } else { loss.mul(&Tensor::scalar(f32::NAN).into(), ctx) }
    };
    let start = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let mut model = start.clone();
    let mut trainer = Trainer::new(objective, Sgd::new(0.1));
    let error = train_error(trainer.fit(&mut model, &loader, None, 3).unwrap_err());
    let message = error.to_string();
    let TrainError::LossNotFinite { step: 8, epoch: 2, loss } = error else { panic!("{error}") };
    assert!(loss.is_nan());
    assert!(message.contains("step 8, in epoch 2, is NaN; the model is as step 7 left it"));
    assert_eq!((trainer.steps(), trainer.epochs()), (7, 1));

    let mut seven = start.clone();
    let mut sgd = Sgd::new(0.1);
    for batch in loader.epoch(0).chain(loader.epoch(1).take(2)) {
        let mut ctx = Ctx::train(tinytorch::Rng::seed(0));
        let loss = squared_error(&seven, &batch.unwrap(), &mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        tinytorch::optim::Optimizer::step(&mut sgd, &mut seven, grads).unwrap();
    }
    let value = |m: &Linear| m.weight.value().unwrap().item().unwrap();
    assert_eq!(value(&model), value(&seven));
}

#[test]
fn an_exploding_training_ends_in_an_error_and_not_in_nan_weights() {
    let loader = DataLoader::new(line(10), 10).unwrap();
    let mut model = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let mut trainer = Trainer::new(squared_error, Sgd::new(1e8));
    let error = trainer.fit(&mut model, &loader, None, 100).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(TrainError::LossNotFinite { .. })), "{error}");
    assert!(!model.weight.value().unwrap().item().unwrap().is_nan());
}

#[test]
fn frozen_and_int8_parameters_are_told_and_stay() {
    let loader = some_digits(256);
    let mut model = Net::new(64, 32, 10, 1);
    let config = QuantConfig::new(Activations::Dynamic).knowingly();
    let config = config.with("head.weight", Scheme::Float);
    quantize_model(&mut model, std::iter::empty::<Result<Var>>(), &config).unwrap();
    model.set_frozen("head.bias", true);
    assert_eq!(
        frozen(&model),
        [
            ("hidden.weight".to_string(), Untrained::Int8),
            ("mean".to_string(), Untrained::Buffer),
            ("head.bias".to_string(), Untrained::Frozen)
        ]
    );
    let (packed, before) = (model.hidden.weight.int8().unwrap().clone(), model.values());
    let mut trainer = Trainer::new(Classification, Adam::new(0.01));
    let history = trainer.fit(&mut model, &loader, None, 4).unwrap();
    assert!(history[3].train.loss < history[0].train.loss);
    assert!(packed.shares(model.hidden.weight.int8().unwrap()));
    let moved: Vec<String> = before
        .iter()
        .zip(model.values())
        .filter(|(old, new)| **old != *new)
        .map(|(old, _)| old.0.clone())
        .collect();
    assert_eq!(moved, ["hidden.bias", "mean", "head.weight"]);

    model.set_frozen("", true);
    let error = train_error(trainer.fit(&mut model, &loader, None, 1).unwrap_err());
    assert_eq!(error, TrainError::NothingToTrain { frozen: 3, int8: 1 });
}

/// A loss that falls over the first epochs and rises afterwards, by the number of its evaluations.
fn falls_then_rises(at: &Cell<u32>) -> impl Fn(&Linear, &Batch, &mut Ctx<'_>) -> Result<Var> + '_ {
    |model, batch, ctx| {
        let loss = squared_error(model, batch, ctx)?;
        if ctx.mode() == tinytorch::autograd::Mode::Train {
            return Ok(loss);
        }
        at.set(at.get() + 1);
        Ok(Tensor::scalar((at.get() as f32 - 3.0).abs()).into())
    }
}

#[test]
fn early_stopping_ends_the_training_and_puts_the_best_weights_back() {
    let loader = DataLoader::new(line(10), 10).unwrap();
    let rule = EarlyStopping { watch: Watch::Loss, patience: 2, min_delta: 0.0 };
    let start = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let (at, mut model) = (Cell::new(0), start.clone());
    let mut trainer = Trainer::new(falls_then_rises(&at), Sgd::new(0.1)).early_stopping(rule);
    assert_eq!(trainer.fit(&mut model, &loader, Some(&loader), 20).unwrap().len(), 5);
    assert!(trainer.stopped());
    assert!(trainer.fit(&mut model, &loader, Some(&loader), 20).unwrap().is_empty());

    let mut three = start.clone();
    Trainer::new(squared_error, Sgd::new(0.1)).fit(&mut three, &loader, None, 3).unwrap();
    let value = |m: &Linear| m.weight.value().unwrap().item().unwrap();
    assert_eq!(value(&model), value(&three));

    let error = Trainer::new(squared_error, Sgd::new(0.1))
        .early_stopping(rule)
        .fit(&mut three, &loader, None, 1)
        .unwrap_err();
    assert!(error.to_string().contains("pass a validation loader"), "{error}");
    let rule = EarlyStopping { watch: Watch::Accuracy, ..rule };
    let error = Trainer::new(squared_error, Sgd::new(0.1))
        .early_stopping(rule)
        .fit(&mut three, &loader, Some(&loader), 1)
        .unwrap_err();
    assert!(error.to_string().contains("watches the validation accuracy"), "{error}");
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<(Vec<String>, Vec<StepReport>)>>);

impl Progress for Recorder {
    fn epoch_started(&mut self, epoch: u64, epochs: u64, batches: usize) {
        self.0.lock().unwrap().0.push(format!("{epoch} of {epochs}, {batches} batches"));
    }
    fn stepped(&mut self, step: &StepReport) {
        self.0.lock().unwrap().1.push(*step);
    }
    fn epoch_ended(&mut self, record: &EpochRecord) {
        self.0.lock().unwrap().0.push(format!("{} done", record.epoch));
    }
}

#[test]
fn progress_hears_of_every_epoch_and_step() {
    let loader = DataLoader::new(line(10), 4).unwrap();
    let mut model = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let recorder = Recorder::default();
    let mut trainer = Trainer::new(squared_error, Sgd::new(0.1))
        .accumulate(2)
        .clip(Clip::Norm(0.5))
        .schedule(Schedule::Step { every: 2, factor: 0.5 })
        .progress(recorder.clone());
    trainer.fit(&mut model, &loader, None, 2).unwrap();
    let (epochs, steps) = &*recorder.0.lock().unwrap();
    assert_eq!(*epochs, ["1 of 2, 3 batches", "1 done", "2 of 2, 3 batches", "2 done"]);
    let numbers: Vec<_> = steps.iter().map(|s| (s.epoch, s.step, s.batches, s.lr)).collect();
    assert_eq!(numbers, [(1, 1, 2, 0.1), (1, 2, 3, 0.1), (2, 3, 2, 0.05), (2, 4, 3, 0.05)]);
    assert!(steps.iter().all(|s| s.grad_norm.unwrap() > 0.0 && s.loss > 0.0));
}

#[test]
fn impossible_trainings_are_refused_before_they_begin() {
    struct Nothing;
    impl Dataset for Nothing {
        fn len(&self) -> usize {
            0
        }
        fn get(&self, _: usize) -> Result<Vec<Tensor>> {
            unreachable!("there is nothing to get")
        }
    }
    let mut model = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    let empty = DataLoader::new(Nothing, 4).unwrap();
    let full = DataLoader::new(line(10), 4).unwrap();
    let mut refuse = |mut trainer: Trainer<Loss>, data| {
        let error = trainer.fit(&mut model, data, None, 1).unwrap_err().to_string();
        assert_eq!(trainer.steps(), 0);
        error
    };
    let trainer = || Trainer::new(squared_error as Loss, Sgd::new(0.1));
    assert!(refuse(trainer(), &empty).contains("training data has no batches"));
    assert!(refuse(trainer().accumulate(0), &full).contains("accumulate at least 1"));
    let schedule = Schedule::Step { every: 0, factor: 0.1 };
    assert!(refuse(trainer().schedule(schedule), &full).contains("schedule: every is 0"));
    assert!(refuse(trainer().clip(Clip::Norm(-1.0)), &full).contains("max_norm is -1"));
    let error = evaluate(&model, &squared_error, &empty).unwrap_err().to_string();
    assert!(error.contains("evaluation data has no batches"), "{error}");
}

#[test]
fn an_evaluation_that_is_not_finite_names_its_batch() {
    let loader = DataLoader::new(line(10), 4).unwrap();
    let mut model = Linear::new(1, 1, &mut Init::seed(2)).unwrap();
    model.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap()[0] = f32::INFINITY;
    let error = train_error(evaluate(&model, &squared_error, &loader).unwrap_err());
    assert!(matches!(error, TrainError::EvaluationNotFinite { batch: 1, .. }), "{error}");
}
