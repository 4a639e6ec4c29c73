//! Ending a training that no longer gets better.

use super::{Metrics, TrainError};
use crate::Result;
use crate::autograd::Stored;
use crate::nn::Module;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The validation figure that early stopping watches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The loss: less is better.
    Loss,
    /// The accuracy: more is better.
    Accuracy,
}

/// Ends a training when the validation figure has not improved for a while, and puts the weights of
/// its best epoch back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// What is watched.
    pub watch: Watch,
    /// How many epochs without improvement end the training.
    pub patience: u64,
    /// The least change that counts as an improvement.
    pub min_delta: f64,
}

/// The best epoch so far and how long ago it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) best: Option<f64>,
    pub(super) best_epoch: u64,
    pub(super) stopped: bool,
}

impl EarlyStopping {
    fn figure(&self, valid: &Metrics) -> Result<f64> {
        let remedy = "watch the loss, or let the objective count correct answers";
        let missing = TrainError::NothingToWatch { watched: "accuracy", remedy };
        match self.watch {
            Watch::Loss => Ok(-valid.loss),
            Watch::Accuracy => Ok(valid.accuracy.ok_or(missing)?),
        }
    }

    /// Takes note of an epoch; true if it is the best so far.
    pub(super) fn observe(
        &self,
        watched: &mut Watched,
        epoch: u64,
        valid: &Metrics,
    ) -> Result<bool> {
        let figure = self.figure(valid)?;
        let better = watched.best.is_none_or(|best| figure > best + self.min_delta);
        if better {
            (watched.best, watched.best_epoch) = (Some(figure), epoch);
        }
        watched.stopped = epoch.saturating_sub(watched.best_epoch) >= self.patience.max(1);
        Ok(better)
    }
}

/// Everything that training changes in a model, by dotted name.
pub(super) fn snapshot(model: &dyn Module) -> BTreeMap<String, Tensor> {
    let params = model.named_params().into_iter().filter(|(_, param)| !param.is_frozen());
    let floats = params.filter_map(|(name, param)| match param.stored() {
        Stored::F32(value) => Some((name, value.clone())),
        _ => None,
    });
    floats.collect()
}

/// Puts a snapshot back.
pub(super) fn restore(model: &mut dyn Module, snapshot: &BTreeMap<String, Tensor>) {
    for (name, param) in model.named_params_mut() {
        if let Some(value) = snapshot.get(&name).filter(|value| *value.shape() == param.shape()) {
            param.store(Stored::F32(value.clone()));
        }
    }
}
