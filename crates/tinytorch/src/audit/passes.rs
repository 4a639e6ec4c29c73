//! Passes of a model over all held-out samples.

use super::HeldOut;
use super::compare::joined;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{Model, PassBytes, run};
use crate::plan::Plan;
use crate::tensor::Tensor;
use tinytorch_kernels::Isa;

/// What the ops of a pass may compute together, in bytes, where something keeps what each layer reads and gives. Of 64 samples
/// that were 180 MB beside a model of 95 (`scripts/onnx_memory.py`); with 32 MB an audit of MiniLM takes half as long again.
const KEPT: usize = 96 << 20;

/// All samples, as a model takes them, in batches that leave room for what each of its layers reads and gives.
///
/// # Errors
/// If the model does not run on the first sample.
pub(super) fn batches<'h>(
    held_out: &'h HeldOut,
    model: &dyn Model,
) -> Result<impl Iterator<Item = Result<Vec<Var>>> + 'h> {
    let of_one = PassBytes::of(model, &held_out.first(1)?)?;
    let size = (KEPT / of_one.all.max(1)).clamp(1, held_out.per_pass());
    let vars = |inputs: Vec<Tensor>| inputs.into_iter().map(Var::from).collect();
    Ok(held_out.batches_of(size).map(move |batch| batch.map(vars)))
}

/// A deployed model's outputs for all samples, in batches.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn outputs(plan: &mut Plan, held_out: &HeldOut) -> Result<Vec<Tensor>> {
    outputs_of_first(plan, held_out, held_out.len())
}

/// A deployed model's outputs for so many samples.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn outputs_of_first(
    plan: &mut Plan,
    held_out: &HeldOut,
    samples: usize,
) -> Result<Vec<Tensor>> {
    in_batches(held_out, samples, |batch| run(plan, batch))
}

/// A model's outputs for all samples, op by op as in training.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn eager_outputs(
    model: &dyn Model,
    isa: Isa,
    held_out: &HeldOut,
) -> Result<Vec<Tensor>> {
    in_batches(held_out, held_out.len(), |batch| {
        let inputs: Vec<Var> = batch.iter().map(Var::from).collect();
        let outputs = model.forward_list(&inputs, &mut Ctx::eval().on(isa))?;
        Ok(outputs.into_iter().map(Var::into_value).collect())
    })
}

/// What `run` makes of the first samples, in batches.
pub(super) fn in_batches(
    held_out: &HeldOut,
    samples: usize,
    mut run: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    let size = held_out.per_pass();
    for start in (0..samples).step_by(size) {
        let outputs = run(&held_out.batch(start, size.min(samples - start))?)?;
        parts.resize_with(outputs.len(), Vec::new);
        parts.iter_mut().zip(outputs).for_each(|(part, output)| part.push(output));
    }
    parts.iter().map(|part| joined(part)).collect()
}
