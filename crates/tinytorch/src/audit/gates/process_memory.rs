//! Whether a process that holds the int8 model is smaller.

use crate::Result;
use crate::audit::{AuditOptions, Evidence, Gate, Subject, probe};
use crate::int8::QWeight;
use crate::models::Model;
use crate::profile::process::{ProbeReport, ProbeRequest, ProbeTask, copies_for};

const ID: &str = "process_memory";

/// How many times smaller the model's share of a process must be, where what is no weight allows it.
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
    options: &AuditOptions,
) -> Result<Gate> {
    let Some(probe) = &options.probe else { return Ok(probe::without(ID)) };
    let copies = copies_for(&*subject.float);
    let measure = |file: &std::path::Path| -> Result<ProbeReport> {
        let inputs = subject.held_out.shapes_of_one()?;
        let task = ProbeTask::Resident { copies, inputs, passes: PASSES };
        probe.ask(&ProbeRequest { file: file.to_path_buf(), task })
    };
    let measured = measure(&evidence.files.float)
        .and_then(|float| Ok((float, measure(&evidence.files.int8)?)));
    let (float, int8) = match measured {
        Ok(reports) => reports,
        Err(error) => return Ok(Gate::unknown(ID, error.to_string())),
    };
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
    let (dense, least) = weight_bytes(&*subject.int8);
    let limit = limit(value.0, (copies * dense) as u64, (copies * least) as u64);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let reason = format!(
        "{copies} copies in a fresh process take {:.1} MB in float, {:.1} MB in int8, {when}",
        megabytes(value.0),
        megabytes(value.1)
    );
    Ok(Gate::at_least(ID, ratio(value), limit, "x smaller", reason))
}

/// How many times smaller a process must be that takes `float` bytes with its weights `dense` and could have
/// them in `least`. What is no weight, biases and what a tensor is made of among them, stays as it is.
fn limit(float: u64, dense: u64, least: u64) -> f64 {
    let possible = float.saturating_sub(dense) + least;
    FULL.min(0.98 * float as f64 / possible.max(1) as f64)
}

/// What an int8 weight takes beside its numbers: what says how they lie, and 16 bytes that an allocator adds to each of
/// the values, their sums, the scales and the weight itself. It is a tenth of a weight of 32 by 32.
const HELD: usize = size_of::<QWeight>() + 4 * 16;

/// Bytes of all weights that are int8, as floats and as the least that they can be in int8.
fn weight_bytes(model: &dyn Model) -> (usize, usize) {
    let params = model.named_params();
    let weights = params.into_iter().filter_map(|(_, param)| param.int8());
    weights.fold((0, 0), |(dense, least), weight| {
        let shift = weight.shift().map_or(0, size_of_val);
        let values = weight.shape().len() * size_of::<f32>();
        (dense + values, least + super::least_bytes(weight) + shift + HELD)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_held_to_what_is_possible() {
        assert_eq!(limit(64 << 20, 64 << 20, 16 << 20), FULL);
        // Half of it is no weight: 64 against 32 + 8.
        assert!((limit(64, 32, 8) - 0.98 * 1.6).abs() < 1e-12);
        assert_eq!(limit(0, 0, 0), 0.0);
    }
}
