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
    let reason = format!(
        "peak heap beyond the loaded model at batch 1; stated: activations {}, arena {}, scratch {}, \
         notes of compiling {}",
        report.activation_bytes, report.arena_bytes, report.scratch_bytes, report.note_bytes
    );
    Ok(Gate::at_most(ID, peak as f64, report.stated() as f64, "bytes", reason))
}
