//! What must hold before a step may write.

use super::{Moments, OptimError};
use crate::Result;
use crate::autograd::{BufferUpdate, Gradients, Param, ParamId, Stored};
use crate::nn::Module;
use crate::tensor::{Dtype, Shape, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Position and value of the first element that is NaN or infinite.
pub(super) fn first_not_finite(values: &[f32]) -> Option<(usize, f32)> {
    // Whole blocks are tested without a branch, which lets the compiler use vector instructions.
    const BLOCK: usize = 1024;
    for (block, chunk) in values.chunks(BLOCK).enumerate() {
        if chunk.iter().fold(false, |bad, v| bad | !v.is_finite()) {
            let within = chunk.iter().position(|v| !v.is_finite())?;
            return Some((block * BLOCK + within, chunk[within]));
        }
    }
    None
}

fn float_value<'a>(name: &str, param: &'a Param) -> Result<&'a Tensor> {
    let Stored::F32(value) = param.stored() else {
        return Err(OptimError::NotLoaded { name: name.to_owned() }.into());
    };
    if value.dtype() != Dtype::F32 {
        return Err(OptimError::NotFloat { name: name.to_owned(), got: value.dtype() }.into());
    }
    Ok(value)
}

/// Checks that every trainable parameter of `model` has a gradient it can follow and, if it has taken
/// a step before, moments of its shape; and that every running statistic fits its buffer.
pub(super) fn check_step(
    model: &dyn Module,
    grads: &Gradients,
    moments: &BTreeMap<String, Moments>,
) -> Result<()> {
    let params = model.named_params();
    let mut names = BTreeSet::new();
    for (name, param) in &params {
        if !names.insert(name.as_str()) {
            return Err(OptimError::DuplicateName { name: name.clone() }.into());
        }
        if param.is_trainable() {
            let value = float_value(name, param)?;
            check_gradient(name, value, grads.of(param))?;
            if let Some(of_param) = moments.get(name) {
                check_shapes(name, value.shape(), of_param)?;
            }
        }
    }
    if grads.updates().is_empty() {
        return Ok(());
    }
    let buffers = params.iter().filter(|(_, param)| !param.is_frozen());
    let buffers: BTreeMap<ParamId, _> = buffers.map(|named| (named.1.id(), named)).collect();
    for update in grads.updates() {
        if let Some((name, buffer)) = buffers.get(&update.id) {
            check_update(name, float_value(name, buffer)?, update)?;
        }
    }
    Ok(())
}

/// Checks that everything remembered of a parameter has its shape.
pub(super) fn check_shapes(name: &str, shape: &Shape, moments: &Moments) -> Result<()> {
    if let Some(got) = moments.slots.iter().map(Tensor::shape).find(|&got| got != shape) {
        let problem = format!("has shape {shape} in the model and {got} in the state");
        return Err(OptimError::StateTensor { name: name.to_owned(), problem }.into());
    }
    Ok(())
}

fn check_gradient(name: &str, value: &Tensor, grad: Option<&Tensor>) -> Result<()> {
    let name = || name.to_owned();
    let grad = grad.ok_or_else(|| OptimError::MissingGradient { name: name() })?;
    let (got, expected) = (*grad.shape(), *value.shape());
    if got != expected {
        return Err(OptimError::GradientShape { name: name(), got, expected }.into());
    }
    let dense = grad.contiguous()?;
    let Ok(values) = dense.as_slice::<f32>() else {
        return Err(OptimError::NotFloat { name: name(), got: grad.dtype() }.into());
    };
    if let Some((element, value)) = first_not_finite(values) {
        return Err(OptimError::GradientNotFinite { name: name(), element, value }.into());
    }
    Ok(())
}

fn check_update(name: &str, buffer: &Tensor, update: &BufferUpdate) -> Result<()> {
    let name = || name.to_owned();
    let (got, expected) = (*update.value.shape(), *buffer.shape());
    if got != expected {
        return Err(OptimError::BufferShape { name: name(), got, expected }.into());
    }
    if let Some((_, value)) = first_not_finite(&update.value.to_vec::<f32>()?) {
        return Err(OptimError::BufferNotFinite { name: name(), value }.into());
    }
    Ok(())
}
