//! Keeping pruned weights at 0.

use super::CompressError;
use crate::Result;
use crate::autograd::{Gradients, Param, Role};
use crate::nn::Module;
use crate::optim::{Optimizer, OptimizerState};
use std::collections::BTreeMap;

/// Which weights of a model stay, by name: the others are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masks {
    kept: BTreeMap<String, Vec<bool>>,
}

impl Masks {
    pub(super) fn new(kept: BTreeMap<String, Vec<bool>>) -> Masks {
        Masks { kept }
    }

    /// The masks of a model that was pruned before, from a file say: what is 0 among the float weights of
    /// linear layers and convolutions is taken as pruned.
    ///
    /// # Errors
    /// [`AutogradError`](crate::autograd::AutogradError) for a weight without float values.
    pub fn of(model: &dyn Module) -> Result<Masks> {
        let mut kept = BTreeMap::new();
        for (name, param) in model.named_params() {
            if matches!(param.role(), Role::LinearWeight | Role::ConvWeight { .. }) {
                let values = param.value()?.to_vec::<f32>()?;
                kept.insert(name, values.iter().map(|v| *v != 0.0).collect());
            }
        }
        Ok(Masks { kept })
    }

    /// Sets what does not stay to 0.
    ///
    /// # Errors
    /// [`CompressError::Masks`] if the model has other weights; it is unchanged then.
    pub fn apply(&self, model: &mut dyn Module) -> Result<()> {
        self.check(model)?;
        for (name, param) in model.named_params_mut() {
            let Some(kept) = self.kept.get(&name) else { continue };
            let values = param.value_mut()?.as_mut_slice::<f32>()?;
            for (value, kept) in values.iter_mut().zip(kept) {
                if !kept {
                    *value = 0.0;
                }
            }
        }
        Ok(())
    }

    /// An optimizer that steps as `optimizer` does and leaves pruned weights at 0.
    pub fn keep<O: Optimizer>(self, optimizer: O) -> Masked<O> {
        Masked { optimizer, masks: self }
    }

    fn check(&self, model: &dyn Module) -> Result<()> {
        let params: BTreeMap<String, &Param> = model.named_params().into_iter().collect();
        for (name, kept) in &self.kept {
            let problem = match params.get(name) {
                None => format!("it has no weight `{name}`"),
                Some(param) if param.value().is_err() => format!("`{name}` is not float"),
                Some(param) if param.shape().len() != kept.len() => {
                    format!("`{name}` has {} values instead of {}", param.shape().len(), kept.len())
                }
                Some(_) => continue,
            };
            return Err(CompressError::Masks { problem }.into());
        }
        Ok(())
    }
}

/// An [`Optimizer`] that leaves pruned weights at 0; [`Masks::keep`] makes one.
///
/// A saved state is that of the optimizer inside; the masks are made again by [`Masks::of`].
#[derive(Clone, Debug)]
pub struct Masked<O> {
    optimizer: O,
    masks: Masks,
}

impl<O: Optimizer> Optimizer for Masked<O> {
    fn step(&mut self, model: &mut dyn Module, grads: Gradients) -> Result<()> {
        self.masks.check(model)?;
        self.optimizer.step(model, grads)?;
        self.masks.apply(model)
    }

    fn lr(&self) -> f64 {
        self.optimizer.lr()
    }

    fn set_lr(&mut self, lr: f64) {
        self.optimizer.set_lr(lr);
    }

    fn state(&self) -> OptimizerState {
        self.optimizer.state()
    }

    fn load_state(&mut self, model: &dyn Module, state: OptimizerState) -> Result<()> {
        self.optimizer.load_state(model, state)
    }
}
