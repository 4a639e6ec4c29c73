//! Whether a process that holds the int8 model is smaller.

use crate::Result;
use crate::audit::{AuditOptions, Evidence, Gate, Outcome, Subject, probe};
use crate::int8::QWeight;
use crate::models::Model;
use crate::profile::process::{ProbeReport, ProbeRequest, ProbeTask, copies_for, passes_for};

const ID: &str = "process_memory";

/// How many times smaller the model's share of a process must be, where what is no weight allows it.
const FULL: f64 = 3.5;

/// Bytes by which a process may take more than its model: runs of one differ by 0.1 MB, with one thread and with 64.
const BLUR: u64 = 128 << 10;

/// A process that holds the int8 model is smaller, by the operating system.
///
/// Each model is loaded from its file in a fresh process, as many times as makes 64 MB of floats or 1000 times, and
/// run. Resident memory is compared after loading and after the passes, and the worse of both counts. Models so
/// small that what else a process takes could decide it are told apart by nothing.
pub(crate) fn process_memory(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    let Some(probe) = &options.probe else { return Ok(probe::without(ID)) };
    let copies = copies_for(&*subject.float);
    let passes = passes_for(copies);
    let measure = |file: &std::path::Path| -> Result<ProbeReport> {
        let inputs = subject.held_out.shapes_of_one()?;
        let task = ProbeTask::Resident { copies, inputs, passes };
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
    let (value, when) = if ratio(loaded) < ratio(run) {
        (loaded, "after loading".to_string())
    } else {
        (run, format!("after {passes} passes of each"))
    };
    let (dense, least) = weight_bytes(&*subject.int8);
    let limit = limit(value.0, (copies * dense) as u64, (copies * least) as u64);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let reason = format!(
        "{copies} copies in a fresh process take {:.1} MB in float, {:.1} MB in int8, {when}",
        megabytes(value.0),
        megabytes(value.1)
    );
    Ok(judged(value, limit, reason))
}

/// How many times more bytes floats take.
fn ratio((float, int8): (u64, u64)) -> f64 {
    float as f64 / int8.max(1) as f64
}

/// Holds bytes of float and of int8 against a limit; it is unknown if what else a process takes could decide it.
fn judged((float, int8): (u64, u64), limit: f64, reason: String) -> Gate {
    let gate = Gate::at_least(ID, ratio((float, int8)), limit, "x smaller", reason);
    let least = ratio((float.saturating_sub(BLUR), int8 + BLUR));
    let most = ratio((float + BLUR, int8.saturating_sub(BLUR)));
    if !(least < limit && limit <= most) {
        return gate;
    }
    let reason = format!(
        "{}; with {:.1} MB that a process may take beside, {least:.2} to {most:.2}x: too little to tell it from \
         {limit:.2}x",
        gate.reason,
        BLUR as f64 / 1e6
    );
    Gate { result: Outcome::Unknown, reason, ..gate }
}

/// How many times smaller a process must be that takes `float` bytes with its weights `dense` and could have
/// them in `least`. What is no weight, biases and what a tensor is made of among them, stays as it is.
fn limit(float: u64, dense: u64, least: u64) -> f64 {
    let possible = float.saturating_sub(dense) + least;
    FULL.min(0.98 * float as f64 / possible.max(1) as f64)
}

/// What an int8 weight takes beside its numbers: what says how they lie, 16 bytes that an allocator adds to each of their
/// sums, the scales and the weight itself, and 64 that it adds to the values, which begin with a line of the cache. It is a
/// seventh of a weight of 32 by 32.
const HELD: usize = size_of::<QWeight>() + 3 * 16 + 64;

/// Bytes of all weights that are int8, as floats and as the least that they can be in int8.
fn weight_bytes(model: &dyn Model) -> (usize, usize) {
    let params = model.named_params();
    let weights = params.into_iter().filter_map(|(_, param)| param.int8());
    weights.map(|weight| bytes(weight)).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// Bytes of a weight as floats, and as the least that a process takes for it in int8.
fn bytes(weight: &QWeight) -> (usize, usize) {
    (weight.shape().len() * size_of::<f32>(), super::least_bytes(weight) + HELD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::Granularity;
    use crate::tensor::Tensor;

    #[test]
    fn a_process_is_held_to_what_is_possible() {
        assert_eq!(limit(64 << 20, 64 << 20, 16 << 20), FULL);
        // Half of it is no weight: 64 against 32 + 8.
        assert!((limit(64, 32, 8) - 0.98 * 1.6).abs() < 1e-12);
        assert_eq!(limit(0, 0, 0), 0.0);
    }

    /// Beside 1024 values and 32 scales: what says how they lie, and what an allocator adds to each of its parts.
    #[test]
    fn a_small_weight_may_take_what_holds_it_and_no_more() {
        let weight = Tensor::from_vec(vec![0.5; 32 * 32], [32, 32]).unwrap();
        let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let copies = 10_000;
        let (dense, least) = bytes(&weight);
        let limit = limit(copies * dense as u64, copies * dense as u64, copies * least as u64);
        let result = |around: usize| {
            let int8 = copies * (32 * 32 + 32 * 4 + around) as u64;
            judged((copies * dense as u64, int8), limit, String::new()).result
        };
        let holder = size_of::<QWeight>();
        assert_eq!(result(holder + 3 * 16), Outcome::Pass);
        assert_eq!(result(holder + 3 * 16 + 64), Outcome::Pass);
        // Another line of the cache.
        assert_eq!(result(holder + 3 * 16 + 128), Outcome::Fail);
    }

    #[test]
    fn what_else_a_process_takes_decides_nothing() {
        let result = |float, int8, limit| judged((float, int8), limit, String::new()).result;
        // A megabyte is 8 times the blur: from 7/3 to 9 of 2 times the blur.
        let megabyte = 8 * BLUR;
        assert_eq!(result(megabyte, 2 * BLUR, 7.0 / 3.0), Outcome::Pass);
        assert_eq!(result(megabyte, 2 * BLUR, 2.34), Outcome::Unknown);
        assert_eq!(result(megabyte, 2 * BLUR, 9.0), Outcome::Unknown);
        assert_eq!(result(megabyte, 2 * BLUR, 9.01), Outcome::Fail);
        // Where 64 MB are measured it is 1 %.
        assert_eq!(result(64 << 20, 18 << 20, 3.5), Outcome::Pass);
        assert_eq!(result(64 << 20, 19 << 20, 3.5), Outcome::Fail);
        let blurred = judged((megabyte, 2 * BLUR), 5.0, "8 of 2".to_string()).reason;
        assert_eq!(
            blurred,
            "8 of 2; with 0.1 MB that a process may take beside, 2.33 to 9.00x: too little to tell it from 5.00x"
        );
    }
}
