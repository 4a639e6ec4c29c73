//! Whether int8 is slower than float.

use crate::Result;
use crate::audit::{AuditOptions, Gate, LatencyPairs, Subject};
use crate::autograd::Feed;
use crate::models::compile;
use crate::plan::{Plan, StepTime};
use crate::stats::{PairedResult, Settings, compare};
use crate::tensor::Tensor;
use std::time::Instant;

const ID: &str = "latency";

/// The batch at which int8 may never be slower.
const LARGE_BATCH: usize = 32;

/// Operations per sample from which a single sample must not be slower either: below, a pass takes a
/// few microseconds, which quantizing the input can outweigh.
const WORTH_TIMING_ALONE: u64 = 1_000_000;

/// Pairs that the report shows.
const SHOWN: usize = 60;

/// Most passes in a row that each of them is the mean of: the first finds the other model's data in the
/// cache.
const IN_A_ROW: u32 = 16;

/// Seconds that passes in a row take at least, or else they are [`IN_A_ROW`]: what is in the cache
/// matters less to longer ones.
const LONG_RUN: f64 = 5e-3;

/// Int8 is not slower than float, each deployed at its best, timed in interleaved pairs.
///
/// It fails only if the whole interval of the ratio lies above 1, so that noise alone cannot fail it.
/// With the gate come some pairs to look at.
pub(crate) fn latency(
    subject: &Subject,
    options: &AuditOptions,
) -> Result<(Gate, Vec<LatencyPairs>)> {
    let single = subject.held_out.first(1)?;
    let mut float = compile(&*subject.float, &single)?;
    let mut int8 = compile(&*subject.int8, &single)?.on(options.deployed);
    float.run_many(&single.tensors())?;
    let flops: u64 = float.steps().iter().map(|step| step.cost.flops).sum();

    let mut batches = vec![subject.held_out.first(LARGE_BATCH)?];
    if flops >= WORTH_TIMING_ALONE && subject.held_out.fixed().is_none() {
        batches.push(single);
    }
    let mut worst: Option<PairedResult> = None;
    let (mut measured, mut slow, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for batch in &batches {
        let result = time(&mut float, &mut int8, batch)?;
        let n = batch[0].shape()[0];
        shown.push(pairs(&mut float, &mut int8, batch)?);
        measured.push(format!(
            "batch {n}: {:.1} us in float, {:.1} us in int8, ratio {:.2} ({:.2} to {:.2})",
            result.a_median * 1e6,
            result.b_median * 1e6,
            result.ratio,
            result.low,
            result.high
        ));
        if result.low > 1.0 {
            slow.push(format!("batch {n} is slower; {}", slowest_step(&mut int8, batch)?));
        }
        if worst.is_none_or(|worst| result.low > worst.low) {
            worst = Some(result);
        }
    }
    let low = worst.map_or(f64::NAN, |worst| worst.low);
    let mut reason = measured.join("; ");
    for fault in slow {
        reason.push_str("; ");
        reason.push_str(&fault);
    }
    Ok((Gate::at_most(ID, low, 1.0, "x the time, at least", reason), shown))
}

fn pairs(float: &mut Plan, int8: &mut Plan, batch: &Vec<Tensor>) -> Result<LatencyPairs> {
    let seconds = |plan: &mut Plan, passes: u32| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..passes {
            plan.run_many(&batch.tensors())?;
        }
        Ok(started.elapsed().as_secs_f64() / f64::from(passes))
    };
    let passes = ((LONG_RUN / seconds(int8, 1)?) as u32).clamp(1, IN_A_ROW);
    let microseconds = |plan: &mut Plan| Ok::<_, crate::Error>(seconds(plan, passes)? * 1e6);
    let (mut float_us, mut int8_us) = (Vec::new(), Vec::new());
    for _ in 0..SHOWN {
        float_us.push(microseconds(float)?);
        int8_us.push(microseconds(int8)?);
    }
    Ok(LatencyPairs { batch: batch[0].shape()[0], float_us, int8_us })
}

fn time(float: &mut Plan, int8: &mut Plan, batch: &Vec<Tensor>) -> Result<PairedResult> {
    let run = |plan: &mut Plan| plan.run_many(&batch.tensors()).map(drop);
    compare(|| run(float), || run(int8), &Settings::default())
}

fn slowest_step(plan: &mut Plan, batch: &Vec<Tensor>) -> Result<String> {
    let steps = plan.profile(batch)?;
    let slowest = steps.iter().filter(|s| s.name != StepTime::OTHER).max_by_key(|s| s.time);
    Ok(slowest.map_or(String::new(), |step| {
        format!("`{}` takes the most time, {:.1} us", step.name, step.time.as_secs_f64() * 1e6)
    }))
}
