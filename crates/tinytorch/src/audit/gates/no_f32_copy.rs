//! Whether anything keeps or makes a float copy of the weights.

use crate::Result;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, gate::listed, probe};
use crate::profile::process::{HeapClaim, ProbeRequest, ProbeTask};

const ID: &str = "no_f32_copy";

/// Samples per pass that are measured: a copy that is kept for large passes alone, or for small ones, counts too.
const BATCHES: [usize; 4] = [1, 8, 32, 128];

/// Passes of the fewest samples: what is kept only after some passes counts too.
const LONG: usize = 100;

/// Passes of more samples: the first allocates working memory, the second runs in what is there.
const SHORT: usize = 2;

/// Nothing keeps or makes a float copy of the weights: a fresh process that holds the int8 model alone
/// needs no more heap to compile it, to keep it compiled and to run it than the engine states, for a sample alone
/// and for many, the sample alone 100 times. The part that comes nearest to what is stated, or goes furthest beyond, is the measurement.
pub(crate) fn no_f32_copy(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    let Some(probe) = &options.probe else { return Ok(probe::without(ID)) };
    let mut worst: Option<(usize, [HeapClaim; 3], HeapClaim)> = None;
    let mut most_passes = 0;
    let share = |claim: &HeapClaim| claim.used as f64 / claim.stated.max(1) as f64;
    let fixed = subject.held_out.fixed();
    let sizes = fixed.map_or_else(|| BATCHES.to_vec(), |fixed| vec![fixed]);
    for (i, &batch) in sizes.iter().enumerate() {
        let passes = if i == 0 { LONG } else { SHORT };
        let inputs = subject.held_out.shapes_of(batch)?;
        let file = evidence.files.int8.clone();
        let task = ProbeTask::PeakHeap { inputs, passes };
        let report = match probe.ask(&ProbeRequest { file, task }) {
            Ok(report) => report,
            Err(error) => return Ok(Gate::unknown(ID, error.to_string())),
        };
        most_passes = most_passes.max(report.passes);
        let claims = report.heap_claims();
        let nearest = claims.into_iter().flatten().max_by(|a, b| share(a).total_cmp(&share(b)));
        let (Some(claims), Some(nearest)) = (claims, nearest) else {
            let reason = "the probe does not count its allocations".to_string();
            return Ok(Gate::unknown(ID, reason));
        };
        if worst.is_none_or(|(_, _, worst)| share(&nearest) > share(&worst)) {
            worst = Some((batch, claims, nearest));
        }
    }
    let Some((batch, claims, nearest)) = worst else {
        return Ok(Gate::unknown(ID, "nothing was measured".to_string()));
    };
    let parts = claims.map(|c| format!("{} {} of {}", c.part, c.used, c.stated)).join(", ");
    let mut reason = format!(
        "heap beyond the loaded model at batch {batch}, the tightest of {}, over up to {most_passes} passes, used and \
         stated: {parts}",
        listed(&sizes)
    );
    if let Some((name, bytes)) = largest_copy_within(subject, nearest.excess()) {
        reason.push_str(&format!(
            "; the excess has room for a float copy of `{name}`, {bytes} bytes"
        ));
    }
    Ok(Gate::at_most(ID, nearest.used as f64, nearest.stated as f64, "bytes", reason))
}

/// The largest int8 weight whose floats would take no more than `excess` bytes, and how many.
fn largest_copy_within(subject: &Subject, excess: u64) -> Option<(String, u64)> {
    let weights = subject.int8.named_params().into_iter().filter(|(_, p)| p.int8().is_some());
    let sizes = weights.map(|(name, p)| (name, (p.shape().len() * size_of::<f32>()) as u64));
    sizes.filter(|(_, bytes)| *bytes <= excess).max_by_key(|(_, bytes)| *bytes)
}
