//! How long every layer takes, as models are deployed.

use super::{AuditOptions, LayerEvidence, Subject};
use crate::Result;
use crate::models::compile;
use crate::plan::{Plan, StepInfo};
use crate::tensor::Tensor;
use std::time::Duration;

/// Samples of the passes that are timed, those of the gate `latency`.
const BATCH: usize = 32;

/// Passes of each model, taken in turn. Medians of 21 differ by a few percent from run to run.
const PASSES: usize = 21;

/// Notes the median time of every layer in both models: of all steps that are made for its weight,
/// quantizing its input included.
///
/// # Errors
/// If a model does not run on the data.
pub(super) fn note(
    layers: &mut [LayerEvidence],
    subject: &Subject,
    options: &AuditOptions,
) -> Result<()> {
    let batch = subject.held_out.first(BATCH)?;
    let mut float = compile(&*subject.float, &batch)?;
    let mut int8 = compile(&*subject.int8, &batch)?.on(options.deployed);
    let (mut of_float, mut of_int8) = (Vec::new(), Vec::new());
    for pass in 0..=PASSES {
        let times = (pass_of(&mut float, &batch)?, pass_of(&mut int8, &batch)?);
        // The first finds cold caches and no memory.
        if pass > 0 {
            of_float.push(times.0);
            of_int8.push(times.1);
        }
    }
    let (float, int8) = (float.steps(), int8.steps());
    for layer in layers {
        layer.float_time = median_of(&float, &of_float, layer);
        layer.int8_time = median_of(&int8, &of_int8, layer);
    }
    Ok(())
}

/// The times of a pass's steps.
fn pass_of(plan: &mut Plan, batch: &Vec<Tensor>) -> Result<Vec<Duration>> {
    Ok(plan.profile(batch)?.into_iter().map(|step| step.time).collect())
}

/// The median time of the steps that are made for a layer; `None` if none is.
fn median_of(
    steps: &[StepInfo],
    passes: &[Vec<Duration>],
    layer: &LayerEvidence,
) -> Option<Duration> {
    // What quantizes a table's output belongs to the layer that multiplies by it.
    let is_its = |step: &StepInfo| {
        step.name == layer.name && (step.looks_up == layer.looks_up || step.converts)
    };
    let its: Vec<usize> = (0..steps.len()).filter(|&i| is_its(&steps[i])).collect();
    let mut times: Vec<Duration> =
        passes.iter().map(|times| its.iter().map(|&i| times[i]).sum()).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().filter(|_| !its.is_empty())
}
