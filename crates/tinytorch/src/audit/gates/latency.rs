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

/// How many times as long int8 may take for certain.
const LIMIT: f64 = 1.0;

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
    if is_timed_alone(flops, subject.held_out.fixed()) {
        batches.push(single);
    }
    let (mut timed, mut shown) = (Vec::new(), Vec::new());
    for batch in &batches {
        let mut passes = [&mut float, &mut int8].map(|plan| {
            move |batch: &[Tensor]| plan.run_many(&batch.iter().collect::<Vec<_>>()).map(drop)
        });
        let [of_float, of_int8] = &mut passes;
        let result = time(of_float, of_int8, batch)?;
        shown.push(pairs(of_float, of_int8, batch)?);
        let slowest = match is_slower(&result) {
            true => slowest_step(&mut int8, batch)?,
            false => String::new(),
        };
        timed.push(Timed { batch: batch[0].shape()[0], result, slowest });
    }
    Ok((judged(&timed), shown))
}

/// Whether a sample alone is timed too, of a model that does so many operations for it.
fn is_timed_alone(flops: u64, fixed: Option<usize>) -> bool {
    flops >= WORTH_TIMING_ALONE && fixed.is_none()
}

/// What was measured at one batch size.
struct Timed {
    batch: usize,
    result: PairedResult,
    /// The step that takes the most time, where int8 is slower.
    slowest: String,
}

/// Whether noise alone does not explain that int8 takes longer.
fn is_slower(result: &PairedResult) -> bool {
    result.low > LIMIT
}

fn judged(timed: &[Timed]) -> Gate {
    let mut reasons = Vec::new();
    for Timed { batch, result, .. } in timed {
        reasons.push(format!(
            "batch {batch}: {:.1} us in float, {:.1} us in int8, {:.2}x ({:.2} to {:.2})",
            result.a_median * 1e6,
            result.b_median * 1e6,
            result.ratio,
            result.low,
            result.high
        ));
    }
    for Timed { batch, slowest, .. } in timed.iter().filter(|timed| is_slower(&timed.result)) {
        reasons.push(format!("batch {batch} is slower; {slowest}"));
    }
    let worst = timed.iter().map(|timed| timed.result).max_by(|a, b| a.low.total_cmp(&b.low));
    let low = worst.map_or(f64::NAN, |worst| worst.low);
    Gate::at_most(ID, low, LIMIT, "x the time, at least", reasons.join("; "))
}

/// [`latency`] of whatever answers as the float and the int8 model do, on these samples.
pub(crate) fn of_passes(
    mut float: impl FnMut(&[Tensor]) -> Result<()>,
    mut int8: impl FnMut(&[Tensor]) -> Result<()>,
    batches: &[Vec<Tensor>],
) -> Result<(Gate, Vec<LatencyPairs>)> {
    let (mut timed, mut shown) = (Vec::new(), Vec::new());
    for batch in batches {
        let result = time(&mut float, &mut int8, batch)?;
        shown.push(pairs(&mut float, &mut int8, batch)?);
        let slowest = "which of its layers takes the time is not known".to_string();
        timed.push(Timed { batch: batch[0].shape()[0], result, slowest });
    }
    Ok((judged(&timed), shown))
}

/// A pass of a model over a batch.
type Pass<'a> = dyn FnMut(&[Tensor]) -> Result<()> + 'a;

fn pairs(float: &mut Pass<'_>, int8: &mut Pass<'_>, batch: &[Tensor]) -> Result<LatencyPairs> {
    let seconds = |pass: &mut Pass<'_>, passes: u32| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..passes {
            pass(batch)?;
        }
        Ok(started.elapsed().as_secs_f64() / f64::from(passes))
    };
    let passes = ((LONG_RUN / seconds(int8, 1)?) as u32).clamp(1, IN_A_ROW);
    let microseconds = |pass: &mut Pass<'_>| Ok::<_, crate::Error>(seconds(pass, passes)? * 1e6);
    let (mut float_us, mut int8_us) = (Vec::new(), Vec::new());
    for _ in 0..SHOWN {
        float_us.push(microseconds(float)?);
        int8_us.push(microseconds(int8)?);
    }
    Ok(LatencyPairs { batch: batch[0].shape()[0], float_us, int8_us })
}

fn time(float: &mut Pass<'_>, int8: &mut Pass<'_>, batch: &[Tensor]) -> Result<PairedResult> {
    compare(|| float(batch), || int8(batch), &Settings::default())
}

fn slowest_step(plan: &mut Plan, batch: &Vec<Tensor>) -> Result<String> {
    let steps = plan.profile(batch)?;
    let slowest = steps.iter().filter(|s| s.name != StepTime::OTHER).max_by_key(|s| s.time);
    Ok(slowest.map_or(String::new(), |step| {
        format!("`{}` takes the most time, {:.1} us", step.name, step.time.as_secs_f64() * 1e6)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    fn timed(batch: usize, low: f64, high: f64) -> Timed {
        let ratio = (low + high) / 2.0;
        let (pairs, a_median, b_median, settled) = (100, 1e-5, 1e-5 * ratio, true);
        let result = PairedResult { ratio, low, high, pairs, a_median, b_median, settled };
        Timed { batch, result, slowest: "`fc.weight` takes the most time".to_string() }
    }

    #[test]
    fn a_million_operations_are_worth_timing_alone() {
        assert!(is_timed_alone(1_000_000, None) && !is_timed_alone(999_999, None));
        assert!(!is_timed_alone(1_000_000, Some(4)));
    }

    #[test]
    fn only_what_noise_does_not_explain_is_slower() {
        let fast = judged(&[timed(32, 0.54, 0.58)]);
        assert_eq!(fast.result, Outcome::Pass);
        assert!(fast.reason.contains("0.56x (0.54 to 0.58)"), "{}", fast.reason);
        assert_eq!(judged(&[timed(32, 1.0, 1.2)]).result, Outcome::Pass);
        let slow = judged(&[timed(32, 0.5, 0.6), timed(1, 1.01, 1.2)]);
        assert_eq!(slow.result, Outcome::Fail);
        assert!(slow.reason.ends_with("batch 1 is slower; `fc.weight` takes the most time"));
        assert_eq!(judged(&[]).result, Outcome::Fail);
    }
}
