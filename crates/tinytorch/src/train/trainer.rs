//! Epochs over batches.

use super::frozen::check_trainable;
use super::metrics::{Tally, evaluate};
use super::stopping::{self, EarlyStopping, Watched};
use super::{EpochRecord, Metrics, NoProgress, Objective, Progress, StepReport, TrainError};
use crate::autograd::{Ctx, Gradients};
use crate::data::{Batch, DataLoader};
use crate::nn::Module;
use crate::optim::{Optimizer, Schedule, clip_grad_norm, clip_grad_value};
use crate::tensor::Tensor;
use crate::{Result, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tinytorch_kernels::os::KeepFreed;

/// How gradients are limited before a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// [`clip_grad_norm`] to this norm.
    Norm(f32),
    /// [`clip_grad_value`] to this value.
    Value(f32),
}

/// What the user decided, which a resumed training must share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) lr: f64,
    pub(super) schedule: Schedule,
    pub(super) clip: Option<Clip>,
    pub(super) accumulate: usize,
    pub(super) early_stopping: Option<EarlyStopping>,
}

/// How far the training has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) epochs: u64,
    pub(super) steps: u64,
    pub(super) history: Vec<EpochRecord>,
    pub(super) watched: Watched,
}

/// Sets the random numbers of passes apart from others that the same seed may name.
const PASS: u64 = 0x7061_7373;

/// Trains a model: an objective, an optimizer, and the position in the training.
///
/// Every random choice follows from seeds and counters: the order of the samples from the loader's
/// seed and the epoch, the random numbers of a pass from the trainer's seed, the step and the batch.
pub struct Trainer<O> {
    pub(super) objective: O,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) settings: Settings,
    pub(super) position: Position,
    /// The weights of the best epoch, if early stopping watches.
    pub(super) best: BTreeMap<String, Tensor>,
    progress: Box<dyn Progress>,
}

impl<O> Trainer<O> {
    /// A training that has not begun. The optimizer's learning rate is the base of the schedule.
    pub fn new(objective: O, optimizer: impl Optimizer + 'static) -> Trainer<O> {
        let settings = Settings {
            seed: 0,
            lr: optimizer.lr(),
            schedule: Schedule::Constant,
            clip: None,
            accumulate: 1,
            early_stopping: None,
        };
        Trainer {
            objective,
            optimizer: Box::new(optimizer),
            settings,
            position: Position::default(),
            best: BTreeMap::new(),
            progress: Box::new(NoProgress),
        }
    }

    /// Names the random numbers that layers such as dropout draw; 0 if not called.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// How the learning rate changes from step to step; constant if not called.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings.schedule = schedule;
        self
    }

    /// Limits the gradients of every step; not if not called.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.settings.clip = Some(clip);
        self
    }

    /// Takes a step over the mean of this many batches, as if they were one; 1 if not called.
    ///
    /// Layers that look at the whole batch, such as batch norm, still see one batch at a time. The last
    /// step of an epoch takes the batches that are left.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.settings.accumulate = batches;
        self
    }

    /// Ends the training early; needs validation data.
    pub fn early_stopping(mut self, early_stopping: EarlyStopping) -> Self {
        self.settings.early_stopping = Some(early_stopping);
        self
    }

    /// Tells `progress` how the training goes.
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Changes the base learning rate from the next step on.
    pub fn set_lr(&mut self, lr: f64) {
        self.settings.lr = lr;
    }

    /// Epochs that have been completed.
    pub fn epochs(&self) -> u64 {
        self.position.epochs
    }

    /// Steps that have been taken.
    pub fn steps(&self) -> u64 {
        self.position.steps
    }

    /// What every completed epoch did.
    pub fn history(&self) -> &[EpochRecord] {
        &self.position.history
    }

    /// Whether early stopping has ended the training; `fit` then does nothing.
    pub fn stopped(&self) -> bool {
        self.position.watched.stopped
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &dyn Optimizer {
        &*self.optimizer
    }

    /// The number of steps that an epoch over `loader` takes, for schedules.
    pub fn steps_per_epoch(&self, loader: &DataLoader) -> u64 {
        loader.len().div_ceil(self.settings.accumulate.max(1)) as u64
    }

    /// Loss and accuracy on all batches of `loader`, as [`evaluate`].
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate<M>(&self, model: &M, loader: &DataLoader) -> Result<Metrics>
    where
        O: Objective<M>,
    {
        evaluate(model, &self.objective, loader)
    }

    /// Trains for up to `epochs` more epochs, evaluating on `valid` after each; returns what they did.
    ///
    /// Training goes on where it stopped: two calls of 3 epochs equal one of 6.
    ///
    /// # Errors
    /// [`TrainError::LossNotFinite`], an [`OptimError`](crate::optim::OptimError) naming a parameter,
    /// or what the data or the model report. The model is then as the last complete step left it; the
    /// epoch does not count, and another call repeats it from its first batch.
    pub fn fit<M: Module>(
        &mut self,
        model: &mut M,
        train: &DataLoader,
        valid: Option<&DataLoader>,
        epochs: u64,
    ) -> Result<&[EpochRecord]>
    where
        O: Objective<M>,
    {
        if self.settings.accumulate == 0 {
            return Err(TrainError::NoAccumulation.into());
        }
        if train.is_empty() {
            return Err(TrainError::NoBatches { data: "training" }.into());
        }
        if self.settings.early_stopping.is_some() && valid.is_none() {
            let remedy = "pass a validation loader";
            return Err(TrainError::NothingToWatch { watched: "data", remedy }.into());
        }
        self.settings.schedule.check()?;
        check_trainable(model)?;
        let _kept = KeepFreed::new();
        let first = self.position.history.len();
        let until = self.position.epochs.saturating_add(epochs);
        while self.position.epochs < until && !self.stopped() {
            self.progress.epoch_started(self.position.epochs + 1, until, train.len());
            self.epoch(model, train, valid)?;
        }
        Ok(&self.position.history[first..])
    }

    fn epoch<M: Module>(
        &mut self,
        model: &mut M,
        train: &DataLoader,
        valid: Option<&DataLoader>,
    ) -> Result<()>
    where
        O: Objective<M>,
    {
        let epoch = self.position.epochs + 1;
        let mut batches = train.epoch(self.position.epochs);
        let mut tally = Tally::default();
        let mut done = 0;
        loop {
            let group: Vec<Batch> =
                batches.by_ref().take(self.settings.accumulate).collect::<Result<_>>()?;
            if group.is_empty() {
                break;
            }
            done += group.len();
            let report = self.step(model, &group, done, &mut tally)?;
            self.progress.stepped(&report);
        }
        let valid = valid.map(|loader| self.evaluate(model, loader)).transpose()?;
        let record = EpochRecord { epoch, lr: self.optimizer.lr(), train: tally.metrics(), valid };
        self.watch(model, &record)?;
        self.position.epochs = epoch;
        self.progress.epoch_ended(&record);
        self.position.history.push(record);
        Ok(())
    }

    /// One step of the optimizer over the mean of a group of batches, up to batch `batches` of the
    /// epoch.
    fn step<M: Module>(
        &mut self,
        model: &mut M,
        group: &[Batch],
        batches: usize,
        tally: &mut Tally,
    ) -> Result<StepReport>
    where
        O: Objective<M>,
    {
        let (epoch, step) = (self.position.epochs + 1, self.position.steps + 1);
        let mut own = Tally::default();
        let mut sum = Gradients::default();
        let mut terms = 0;
        for (index, batch) in group.iter().enumerate() {
            let rng = Rng::keyed(&[PASS, self.settings.seed, step, index as u64]);
            let mut ctx = Ctx::train(rng);
            let outcome = self.objective.outcome(model, batch, &mut ctx)?;
            let loss = outcome.loss.value().item()?;
            if !loss.is_finite() {
                return Err(TrainError::LossNotFinite { step, epoch, loss }.into());
            }
            let grads = ctx.backward(&outcome.loss)?;
            let weight = outcome.terms.unwrap_or(batch.len());
            terms += weight;
            match group {
                [_] => sum = grads,
                _ => sum.accumulate(grads, weight as f32)?,
            }
            own.add(&outcome, loss, batch.len());
            tally.add(&outcome, loss, batch.len());
        }
        if group.len() > 1 {
            let share = 1.0 / terms as f32;
            for (_, grad) in sum.iter_mut() {
                grad.as_mut_slice::<f32>()?.iter_mut().for_each(|g| *g *= share);
            }
        }
        let grad_norm = match self.settings.clip {
            None => None,
            Some(Clip::Norm(max)) => Some(clip_grad_norm(&mut sum, max)?),
            Some(Clip::Value(max)) => {
                clip_grad_value(&mut sum, max)?;
                None
            }
        };
        let lr = self.settings.lr * self.settings.schedule.factor(self.position.steps);
        self.optimizer.set_lr(lr);
        self.optimizer.step(model, sum)?;
        self.position.steps = step;
        Ok(StepReport { epoch, step, batches, loss: own.metrics().loss, lr, grad_norm })
    }

    /// Lets early stopping judge an epoch.
    fn watch(&mut self, model: &mut dyn Module, record: &EpochRecord) -> Result<()> {
        let (Some(rule), Some(valid)) = (&self.settings.early_stopping, &record.valid) else {
            return Ok(());
        };
        if rule.observe(&mut self.position.watched, record.epoch, valid)? {
            self.best = stopping::snapshot(model);
        }
        if self.stopped() {
            self.restore_best(model);
        }
        Ok(())
    }

    /// Puts the weights of the best epoch that early stopping has seen back into the model; it does so
    /// itself when it ends the training.
    pub fn restore_best(&self, model: &mut dyn Module) {
        stopping::restore(model, &self.best);
    }
}
