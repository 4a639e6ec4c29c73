//! What all optimizers share: from a rule for one parameter to a step of a model.

use super::check::check_step;
use super::state::check_moments;
use super::{Moments, OptimError, Optimizer, OptimizerState, Setting};
use crate::Result;
use crate::autograd::{Gradients, Param};
use crate::nn::Module;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// The formula by which one parameter moves. [`Descent`] makes an optimizer of it.
pub trait Rule: Clone + Send + Sync {
    /// A name for saved states and messages, such as `adam`.
    fn kind(&self) -> &'static str;

    /// The hyper-parameters.
    fn settings(&self) -> Vec<Setting>;

    /// Names of the tensors that are remembered of every parameter; they start as zeros.
    fn slots(&self) -> &'static [&'static str];

    /// Moves `param` by `grad` at its step number `step`, counted from 1. All slices have the same
    /// length.
    fn update(&self, lr: f64, step: u64, param: &mut [f32], grad: &[f32], slots: &mut [&mut [f32]]);
}

/// An optimizer that applies a [`Rule`] to every trainable parameter.
#[derive(Clone, Debug)]
pub struct Descent<R> {
    pub(super) rule: R,
    lr: f64,
    moments: BTreeMap<String, Moments>,
}

impl<R: Rule> Descent<R> {
    /// An optimizer that has taken no step yet.
    pub fn with_rule(lr: f64, rule: R) -> Descent<R> {
        Descent { rule, lr, moments: BTreeMap::new() }
    }

    fn update(&mut self, name: String, param: &mut Param, grad: &Tensor) -> Result<()> {
        let of_param = self.moments.entry(name).or_default();
        for _ in of_param.slots.len()..self.rule.slots().len() {
            of_param.slots.push(Tensor::zeros(param.shape())?);
        }
        of_param.steps += 1;
        let grad = grad.contiguous()?;
        let values = param.value_mut()?.as_mut_slice::<f32>()?;
        let slots = of_param.slots.iter_mut().map(Tensor::as_mut_slice::<f32>);
        let mut slots = slots.collect::<Result<Vec<_>>>()?;
        self.rule.update(self.lr, of_param.steps, values, grad.as_slice::<f32>()?, &mut slots);
        Ok(())
    }
}

impl<R: Rule> Optimizer for Descent<R> {
    fn step(&mut self, model: &mut dyn Module, grads: Gradients) -> Result<()> {
        Setting::check_all(self.rule.kind(), &[Setting::not_negative("lr", self.lr)])?;
        Setting::check_all(self.rule.kind(), &self.rule.settings())?;
        check_step(model, &grads, &self.moments)?;
        // From here on nothing can fail: every value is known to be a float tensor of its shape.
        for (name, param) in model.named_params_mut() {
            if param.is_trainable()
                && let Some(grad) = grads.of(param)
            {
                self.update(name, param, grad)?;
            }
        }
        move_buffers(model, &grads)
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn state(&self) -> OptimizerState {
        let settings = self.rule.settings().into_iter().map(|s| (s.name.to_owned(), s.value));
        OptimizerState {
            kind: self.rule.kind().to_owned(),
            lr: self.lr,
            settings: settings.collect(),
            slots: self.rule.slots().iter().map(|&slot| slot.to_owned()).collect(),
            moments: self.moments.clone(),
        }
    }

    fn load_state(&mut self, model: &dyn Module, state: OptimizerState) -> Result<()> {
        let expected = self.rule.kind();
        if state.kind != expected {
            return Err(OptimError::StateKind { got: state.kind, expected }.into());
        }
        for Setting { name: setting, value: current, .. } in self.rule.settings() {
            let saved = state.settings.get(setting).copied().unwrap_or(f64::NAN);
            if saved != current {
                return Err(OptimError::StateSetting { setting, saved, current }.into());
            }
        }
        check_moments(model, &state.moments, self.rule.slots().len())?;
        self.lr = state.lr;
        self.moments = state.moments;
        Ok(())
    }
}

/// Moves the running statistics towards what the pass has seen; frozen ones stay.
fn move_buffers(model: &mut dyn Module, grads: &Gradients) -> Result<()> {
    if grads.updates().is_empty() {
        return Ok(());
    }
    let mut params = model.named_params_mut();
    let mut buffers: BTreeMap<_, &mut Param> =
        params.iter_mut().map(|(_, param)| (param.id(), &mut **param)).collect();
    for update in grads.updates() {
        let Some(buffer) = buffers.get_mut(&update.id).filter(|buffer| !buffer.is_frozen()) else {
            continue;
        };
        let seen = update.value.contiguous()?;
        let (keep, take) = (1.0 - update.momentum, update.momentum);
        let values = buffer.value_mut()?.as_mut_slice::<f32>()?;
        for (value, seen) in values.iter_mut().zip(seen.as_slice::<f32>()?) {
            *value = keep * *value + take * seen;
        }
    }
    Ok(())
}
