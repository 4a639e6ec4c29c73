//! How well a model does.

use super::{Objective, Outcome, TrainError};
use crate::Result;
use crate::autograd::Ctx;
use crate::data::DataLoader;
use serde::{Deserialize, Serialize};

/// How well a model did on some data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The mean loss.
    pub loss: f64,
    /// The share of correct answers, from 0 to 1, if the objective counts them.
    pub accuracy: Option<f64>,
    /// Number of samples.
    pub samples: usize,
}

/// What one epoch did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The learning rate of its last step.
    pub lr: f64,
    /// Measured in training mode, while the model changed.
    pub train: Metrics,
    /// Measured after the epoch, on data that was held out.
    pub valid: Option<Metrics>,
}

/// Sums over the batches of an epoch, in their order.
#[derive(Debug, Default)]
pub(super) struct Tally {
    loss: f64,
    terms: usize,
    samples: usize,
    correct: usize,
    uncounted: usize,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &Outcome, loss: f32, samples: usize) {
        let terms = outcome.terms.unwrap_or(samples);
        self.loss += f64::from(loss) * terms as f64;
        self.terms += terms;
        self.samples += samples;
        match outcome.correct {
            Some(correct) => self.correct += correct,
            None => self.uncounted += 1,
        }
    }

    pub(super) fn metrics(&self) -> Metrics {
        let terms = self.terms.max(1) as f64;
        let accuracy = (self.uncounted == 0).then_some(self.correct as f64 / terms);
        Metrics { loss: self.loss / terms, accuracy, samples: self.samples }
    }
}

/// Loss and, if the objective counts correct answers, accuracy of a model on all batches of a loader,
/// in inference mode.
///
/// ```
/// use tinytorch::{Tensor, data::{DataLoader, TensorDataset}, nn::{Init, Linear}};
/// use tinytorch::train::{Classification, evaluate};
/// let model = Linear::new(2, 3, &mut Init::seed(0))?;
/// let labels = Tensor::from_vec(vec![0i64, 1, 2, 0], [4])?;
/// let loader = DataLoader::new(TensorDataset::new([Tensor::ones([4, 2])?, labels])?, 2)?;
/// let metrics = evaluate(&model, &Classification, &loader)?;
/// assert_eq!(metrics.samples, 4);
/// assert!(metrics.accuracy.unwrap() <= 0.5);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`TrainError::NoBatches`], [`TrainError::EvaluationNotFinite`], or what the data or the model
/// report.
pub fn evaluate<M, O: Objective<M>>(
    model: &M,
    objective: &O,
    loader: &DataLoader,
) -> Result<Metrics> {
    let mut tally = Tally::default();
    for (index, batch) in loader.epoch(0).enumerate() {
        let batch = batch?;
        let outcome = objective.outcome(model, &batch, &mut Ctx::eval())?;
        let loss = outcome.loss.value().item()?;
        if !loss.is_finite() {
            return Err(TrainError::EvaluationNotFinite { batch: index + 1, loss }.into());
        }
        tally.add(&outcome, loss, batch.len());
    }
    if tally.samples == 0 {
        return Err(TrainError::NoBatches { data: "evaluation" }.into());
    }
    Ok(tally.metrics())
}
