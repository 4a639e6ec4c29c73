use crate::Result;
use crate::audit::{Evidence, Gate, Means, Subject};
use crate::models::Model;
use crate::profile::process::{ProbeReport, ProbeRequest, ProbeTask, copies_for};

const ID: &str = "process_memory";

/// How many times smaller the model's share of a process must be, where the biases allow it.
const FULL: f64 = 3.5;

/// Passes after which memory is measured again.
const PASSES: usize = 100;

/// A process that holds the int8 model is smaller, by the operating system.
///
/// Each model is loaded from its file in a fresh process, as many times as makes 64 MB of floats, and
/// run. Resident memory is compared after loading and after the passes, and the worse of both counts.
pub(crate) fn process_memory(
    subject: &Subject,
    evidence: &Evidence,
    means: &Means,
) -> Result<Gate> {
    let Some(probe) = &means.probe else {
        let reason = "there is no program to start a fresh process with".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let copies = copies_for(&*subject.float);
    let measure = |file: &std::path::Path| -> Result<ProbeReport> {
        let input = subject.held_out.inputs().slice(0, 0..1)?.shape().to_vec();
        let task = ProbeTask::Resident { copies, input, passes: PASSES };
        probe.ask(&ProbeRequest { file: file.to_path_buf(), task })
    };
    let (float, int8) = (measure(&evidence.files.float)?, measure(&evidence.files.int8)?);
    let loaded = float.resident_by_load().zip(int8.resident_by_load());
    let run = float.resident_by_passes().zip(int8.resident_by_passes());
    let (Some(loaded), Some(run)) = (loaded, run) else {
        let reason = "this system does not tell what a process holds".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let ratio = |(float, int8): (u64, u64)| float as f64 / int8.max(1) as f64;
    let (value, when) = if ratio(loaded) < ratio(run) {
        (loaded, "after loading".to_string())
    } else {
        (run, format!("after {PASSES} passes"))
    };
    let limit = FULL
        .min(0.98 * least_bytes_of(&*subject.float) as f64 / least_bytes_of(&*subject.int8) as f64);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let reason = format!(
        "{copies} copies in a fresh process take {:.1} MB in float, {:.1} MB in int8, {when}",
        megabytes(value.0),
        megabytes(value.1)
    );
    Ok(Gate::at_least(ID, ratio(value), limit, "x smaller", reason))
}

/// Bytes that all parameters cannot do without.
fn least_bytes_of(model: &dyn Model) -> usize {
    let params = model.named_params();
    let bytes = |param: &crate::autograd::Param| match param.int8() {
        Some(weight) => super::least_bytes(weight) + weight.shift().map_or(0, size_of_val),
        None => param.shape().len() * size_of::<f32>(),
    };
    params.into_iter().map(|(_, param)| bytes(param)).sum()
}
