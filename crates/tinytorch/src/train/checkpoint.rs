//! A training on disk: a model's file that also holds what the training needs to go on.
//!
//! Beside the model's tensors lie the optimizer's, as `@optimizer.SLOT.PARAMETER`, and those of the best
//! epoch, as `@best.PARAMETER`; the metadata entry `training` holds the rest as JSON. Whoever reads
//! only the model passes over them.

use super::trainer::{Position, Settings};
use super::{TrainError, Trainer};
use crate::Result;
use crate::autograd::Stored;
use crate::files::{
    Provenance, RESERVED_PREFIX, TRAINING, TensorFile, attached, attached_in, load_into,
    save_model_and, save_params_and,
};
use crate::models::Model;
use crate::nn::Module;
use crate::optim::{Moments, OptimizerState};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Serialize, Deserialize)]
struct Training {
    settings: Settings,
    position: Position,
    frozen: Vec<String>,
    optimizer: Optimizer,
}

/// An [`OptimizerState`] without its tensors.
#[derive(Serialize, Deserialize)]
struct Optimizer {
    kind: String,
    lr: f64,
    settings: BTreeMap<String, f64>,
    slots: Vec<String>,
    steps: BTreeMap<String, u64>,
}

/// What a checkpoint holds beside the model.
struct Contents {
    tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

fn slot_name(slot: &str, param: &str) -> String {
    format!("{RESERVED_PREFIX}optimizer.{slot}.{param}")
}

fn best_prefix() -> String {
    format!("{RESERVED_PREFIX}best.")
}

impl<O> Trainer<O> {
    /// Writes the model and the state of the training to a safetensors file, replacing an older one
    /// only once the new one is complete. `metadata` is stored beside it.
    ///
    /// # Errors
    /// An [`FileError`](crate::files::FileError) if the file cannot be written,
    /// [`TrainError::MetadataTaken`] if `metadata` has an entry `training`; a file already there is
    /// unchanged then.
    pub fn save(
        &self,
        path: impl AsRef<Path>,
        model: &dyn Module,
        metadata: &BTreeMap<String, String>,
    ) -> Result<()> {
        let Contents { tensors, metadata } = self.contents(model, metadata)?;
        save_params_and(path, model, &tensors, &metadata)
    }

    /// [`Trainer::save`] for a model that can describe itself, so that
    /// [`load_model`](crate::files::load_model) reads the file too.
    ///
    /// # Errors
    /// As [`Trainer::save`].
    pub fn save_model(
        &self,
        path: impl AsRef<Path>,
        model: &dyn Model,
        provenance: &Provenance,
    ) -> Result<()> {
        let Contents { tensors, metadata: notes } = self.contents(model, &provenance.notes)?;
        save_model_and(path, model, &tensors, &Provenance { notes, ..provenance.clone() })
    }

    /// The state of the training: tensors, and an entry added to `metadata`.
    fn contents(
        &self,
        model: &dyn Module,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Contents> {
        let OptimizerState { kind, lr, settings, slots, moments } = self.optimizer.state();
        let mut tensors = Vec::new();
        for (name, of_param) in &moments {
            let named = slots.iter().map(|slot| slot_name(slot, name));
            tensors.extend(named.zip(of_param.slots.iter().cloned()));
        }
        let best = self.best.iter();
        tensors.extend(best.map(|(name, value)| (best_prefix() + name, value.clone())));
        let steps = moments.into_iter().map(|(name, of_param)| (name, of_param.steps)).collect();
        let training = Training {
            settings: self.settings.clone(),
            position: self.position.clone(),
            frozen: frozen_names(model),
            optimizer: Optimizer { kind, lr, settings, slots, steps },
        };
        let json = serde_json::to_string(&training)
            .map_err(|error| TrainError::NotSerializable { problem: error.to_string() })?;
        let mut metadata = metadata.clone();
        if metadata.insert(TRAINING.to_owned(), json).is_some() {
            return Err(TrainError::MetadataTaken { key: TRAINING }.into());
        }
        Ok(Contents { tensors, metadata })
    }

    /// Goes on from a file that [`Trainer::save`] wrote, as if the training had never stopped: reads
    /// the weights into `model`, and the optimizer's memory, the counters and the history into this
    /// trainer.
    ///
    /// The trainer must have been made with the same settings and optimizer, and the model have the
    /// same parameters frozen and the same things beside its weights; the loaders are the caller's. All of it can be changed afterwards.
    ///
    /// # Errors
    /// [`TrainError::OtherSetting`] naming the first difference, [`TrainError::NotACheckpoint`], an
    /// [`OptimError`](crate::optim::OptimError), or an [`FileError`](crate::files::FileError) if the file is
    /// damaged or of another model. Neither trainer nor model has changed then.
    pub fn resume(&mut self, path: impl AsRef<Path>, model: &mut dyn Module) -> Result<()> {
        let file = TensorFile::open(path)?;
        let saved = Saved { path: file.path().display().to_string(), file: &file };
        let Training { settings, position, frozen, optimizer } = saved.training()?;
        saved.compare(&settings, &self.settings)?;
        saved.compare(
            &BTreeMap::from([("frozen", frozen)]),
            &BTreeMap::from([("frozen", frozen_names(model))]),
        )?;
        saved.compare(
            &BTreeMap::from([("attached", attached_in(&file)?)]),
            &BTreeMap::from([("attached", attached(model))]),
        )?;
        let best = saved.best(model)?;
        let state = saved.optimizer_state(optimizer)?;

        let before: Vec<Stored> =
            model.named_params().iter().map(|(_, param)| param.stored().clone()).collect();
        load_into(model, &file)?;
        if let Err(error) = self.optimizer.load_state(model, state) {
            for ((_, param), stored) in model.named_params_mut().into_iter().zip(before) {
                param.store(stored);
            }
            return Err(error);
        }
        (self.position, self.best) = (position, best);
        Ok(())
    }
}

fn frozen_names(model: &dyn Module) -> Vec<String> {
    let frozen = model.named_params().into_iter().filter(|(_, param)| param.is_frozen());
    frozen.map(|(name, _)| name).collect()
}

/// A file that is being read.
struct Saved<'a> {
    path: String,
    file: &'a TensorFile,
}

impl Saved<'_> {
    fn refuse(&self, problem: impl Into<String>) -> TrainError {
        TrainError::NotACheckpoint { path: self.path.clone(), problem: problem.into() }
    }

    fn training(&self) -> Result<Training> {
        let Some(text) = self.file.metadata().get(TRAINING) else {
            return Err(self.refuse("it holds a model without the state of its training").into());
        };
        let training: Training = serde_json::from_str(text)
            .map_err(|error| self.refuse(format!("metadata entry {TRAINING:?}: {error}")))?;
        if training.position.epochs != training.position.history.len() as u64 {
            return Err(self.refuse("its history does not have one entry per epoch").into());
        }
        Ok(training)
    }

    /// Refuses the first entry in which the file and the trainer differ.
    fn compare(&self, saved: &impl Serialize, current: &impl Serialize) -> Result<()> {
        let entries = |settings: serde_json::Result<Value>| match settings {
            Ok(Value::Object(entries)) => Ok(entries),
            Ok(_) => Err(self.refuse("its settings are not a table")),
            Err(error) => Err(self.refuse(error.to_string())),
        };
        let current = entries(serde_json::to_value(current))?;
        for (setting, saved) in entries(serde_json::to_value(saved))? {
            let current = current.get(&setting).unwrap_or(&Value::Null);
            if saved != *current {
                let (saved, current) = (saved.to_string(), current.to_string());
                let path = self.path.clone();
                return Err(TrainError::OtherSetting { path, setting, saved, current }.into());
            }
        }
        Ok(())
    }

    fn optimizer_state(&self, optimizer: Optimizer) -> Result<OptimizerState> {
        let Optimizer { kind, lr, settings, slots, steps } = optimizer;
        let mut moments = BTreeMap::new();
        for (name, steps) in steps {
            let tensors = slots.iter().map(|slot| self.file.tensor(&slot_name(slot, &name)));
            let tensors = tensors.collect::<Result<Vec<_>>>()?;
            moments.insert(name, Moments { steps, slots: tensors });
        }
        Ok(OptimizerState { kind, lr, settings, slots, moments })
    }

    /// The weights of the best epoch, checked against the model.
    fn best(&self, model: &dyn Module) -> Result<BTreeMap<String, Tensor>> {
        let params: BTreeMap<_, _> = model.named_params().into_iter().collect();
        let prefix = best_prefix();
        let mut best = BTreeMap::new();
        for (tensor, _) in self.file.tensors() {
            let Some(name) = tensor.strip_prefix(&prefix) else { continue };
            let value = self.file.tensor(tensor)?;
            let fits = params.get(name).is_some_and(|param| param.shape() == *value.shape());
            if !fits || value.as_slice::<f32>().is_err() {
                return Err(self.refuse(format!("tensor {tensor} does not fit the model")).into());
            }
            best.insert(name.to_owned(), value);
        }
        Ok(best)
    }
}
