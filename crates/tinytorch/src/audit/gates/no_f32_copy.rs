use crate::Result;
use crate::audit::{Evidence, Gate, Means, Subject};
use crate::profile::process::{ProbeRequest, ProbeTask};

const ID: &str = "no_f32_copy";

/// Nothing keeps or makes a float copy of the weights: a fresh process that holds the int8 model alone
/// needs no more heap to compile and run it than its activations and what the engine states.
pub(crate) fn no_f32_copy(subject: &Subject, evidence: &Evidence, means: &Means) -> Result<Gate> {
    let Some(probe) = &means.probe else {
        let reason = "there is no program to start a fresh process with".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let input = subject.held_out.inputs().slice(0, 0..1)?.shape().to_vec();
    let file = evidence.files.int8.clone();
    let report = probe.ask(&ProbeRequest { file, task: ProbeTask::PeakHeap { input } })?;
    let Some(peak) = report.peak_beyond_load() else {
        let reason = "the probe does not count its allocations".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let stated = report.stated();
    let mut reason = format!(
        "peak heap beyond the loaded model at batch 1; stated: activations {}, arena {}, scratch {}, \
         notes of compiling {}",
        report.activation_bytes, report.arena_bytes, report.scratch_bytes, report.note_bytes
    );
    if let Some((name, bytes)) = largest_copy_within(subject, peak.saturating_sub(stated)) {
        reason.push_str(&format!(
            "; the excess has room for a float copy of `{name}`, {bytes} bytes"
        ));
    }
    Ok(Gate::at_most(ID, peak as f64, stated as f64, "bytes", reason))
}

/// The largest int8 weight whose floats would take no more than `excess` bytes, and how many.
fn largest_copy_within(subject: &Subject, excess: u64) -> Option<(String, u64)> {
    let weights = subject.int8.named_params().into_iter().filter(|(_, p)| p.int8().is_some());
    let sizes = weights.map(|(name, p)| (name, (p.shape().len() * size_of::<f32>()) as u64));
    sizes.filter(|(_, bytes)| *bytes <= excess).max_by_key(|(_, bytes)| *bytes)
}
