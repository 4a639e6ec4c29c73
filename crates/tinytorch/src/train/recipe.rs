//! The settings of a whole training.

use super::{Classification, Clip, EarlyStopping, Trainer, Watch};
use crate::optim::{Adam, AdamW, Schedule, Sgd};

/// Epochs without a better loss after which a training ends that chooses among them.
const PATIENCE: u64 = 3;

/// The settings of a training that chooses classes: the same recipe, seed and data give the same model, whoever follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training data, at most.
    pub epochs: u64,
    /// Samples in one step.
    pub batch: usize,
    /// What turns gradients into steps.
    pub method: Method,
    /// The highest learning rate.
    pub rate: f64,
}

/// What turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`Adam`].
    Adam,
    /// [`AdamW`].
    AdamW,
    /// [`Sgd`] with a momentum of 0.9.
    Sgd,
}

impl Method {
    /// A learning rate that suits small networks.
    pub fn usual_rate(self) -> f64 {
        match self {
            Method::Adam | Method::AdamW => 3e-3,
            Method::Sgd => 0.05,
        }
    }
}

impl Default for Recipe {
    fn default() -> Recipe {
        let method = Method::AdamW;
        Recipe { epochs: 10, batch: 64, method, rate: method.usual_rate() }
    }
}

impl Recipe {
    /// A training of so many steps an epoch, whose learning rate falls along half a cosine. One that chooses has samples
    /// by which it keeps the best epoch: it warms up, clips its gradients and ends when nothing gets better.
    pub fn trainer(&self, steps: u64, chooses: bool, seed: u64) -> Trainer<Classification> {
        let trainer = match self.method {
            Method::Adam => Trainer::new(Classification, Adam::new(self.rate)),
            Method::AdamW => Trainer::new(Classification, AdamW::new(self.rate)),
            Method::Sgd => Trainer::new(Classification, Sgd::new(self.rate).momentum(0.9)),
        };
        let total = self.epochs.saturating_mul(steps);
        let warmup = if chooses { total / 20 } else { 0 };
        let schedule = Schedule::Cosine { warmup, total, floor: 0.0 };
        let trainer = trainer.seed(seed).schedule(schedule);
        if !chooses {
            return trainer;
        }
        let stopping = EarlyStopping { watch: Watch::Loss, patience: PATIENCE, min_delta: 0.0 };
        trainer.clip(Clip::Norm(1.0)).early_stopping(stopping)
    }
}
