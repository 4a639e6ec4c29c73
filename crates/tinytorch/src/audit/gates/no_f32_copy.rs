//! Whether anything keeps or makes a float copy of the weights.

use crate::Result;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, probe};
use crate::profile::process::{ProbeRequest, ProbeTask};

const ID: &str = "no_f32_copy";

/// Nothing keeps or makes a float copy of the weights: a fresh process that holds the int8 model alone
/// needs no more heap to compile it, to keep it compiled and to run it than the engine states. The part
/// that comes nearest to what is stated, or goes furthest beyond, is the measurement.
pub(crate) fn no_f32_copy(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    let Some(probe) = &options.probe else { return Ok(probe::without(ID)) };
    let inputs = subject.held_out.shapes_of_one()?;
    let file = evidence.files.int8.clone();
    let asked = probe.ask(&ProbeRequest { file, task: ProbeTask::PeakHeap { inputs } });
    let report = match asked {
        Ok(report) => report,
        Err(error) => return Ok(Gate::unknown(ID, error.to_string())),
    };
    let claims = report.heap_claims();
    let share = |used: u64, stated: u64| used as f64 / stated.max(1) as f64;
    let nearest = claims
        .into_iter()
        .flatten()
        .max_by(|a, b| share(a.used, a.stated).total_cmp(&share(b.used, b.stated)));
    let (Some(claims), Some(nearest)) = (claims, nearest) else {
        let reason = "the probe does not count its allocations".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let parts = claims.map(|c| format!("{} {} of {}", c.part, c.used, c.stated)).join(", ");
    let mut reason = format!("heap beyond the loaded model at batch 1, used and stated: {parts}");
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
