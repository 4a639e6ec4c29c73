//! The gates, one a file: each asks one question of the evidence and answers with a measurement.

pub(super) mod accuracy;
pub(super) mod agreement;
pub(super) mod batches;
mod before_tuning;
mod calibration;
pub(super) mod classes;
mod coverage;
mod determinism;
pub(super) mod f32_floor;
mod file_bytes;
mod hardest;
pub(super) mod latency;
pub(super) mod likeness;
mod no_f32_copy;
pub(super) mod output_error;
mod overflow;
mod process_memory;
mod round_trip;
mod sequence;
mod structure;
pub(super) mod unseen;
mod weight_bytes;

use super::answers::Answers;
use super::{AuditOptions, Budget, Evidence, Judged, Subject};
use super::{changed, copies};
use crate::Result;
use crate::int8::QWeight;
use tinytorch_kernels::os::give_back_if_wanted;

/// Asks every gate.
///
/// # Errors
/// If a model does not run at all; a gate that finds a fault is a result, not an error.
pub fn all(
    subject: &Subject,
    evidence: &Evidence,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<Judged> {
    // A measure of the user's own fails before the long work, not after it.
    let likeness = likeness::likeness(subject, evidence)?;
    let answers = Answers::of(subject, [&evidence.float, &evidence.int8])?;
    let answers = answers.as_ref();
    let (of_classes, classes) = classes::classes(subject, &evidence.float, answers);
    let mut gates = vec![
        f32_floor::f32_floor(subject, evidence, budget)?,
        unseen::unseen(subject)?,
        structure::structure(subject, evidence)?,
        coverage::coverage(subject, evidence)?,
        output_error::output_error(subject, evidence, budget)?,
        accuracy::accuracy(subject, [&evidence.float, &evidence.int8], answers)?,
        agreement::agreement(subject, answers),
        of_classes,
        batches::batches(subject, evidence, options)?,
        weight_bytes::weight_bytes(subject)?,
        file_bytes::file_bytes(subject, evidence)?,
        process_memory::process_memory(subject, evidence, options)?,
        no_f32_copy::no_f32_copy(subject, evidence, options)?,
        round_trip::round_trip(subject, evidence, options)?,
        determinism::determinism(subject, evidence, options)?,
        overflow::overflow(subject, options)?,
        calibration::calibration(subject, evidence, options)?,
    ];
    gates.extend(likeness);
    before_tuning::hold_to_it(&mut gates, subject, evidence)?;
    gates.extend(sequence::sequence(subject, evidence, budget, options)?);
    copies::count_once(&mut gates, &subject.held_out, &evidence.float)?;
    let mut latency = Vec::new();
    if options.latency {
        give_back_if_wanted();
        let (gate, timed) = latency::latency(subject, options)?;
        gates.push(gate);
        latency = timed;
    }
    let (changed, confusions) = match answers {
        Some(answers) => changed::of(subject, answers)?,
        None => (Vec::new(), Vec::new()),
    };
    let sample_errors = changed::sample_errors(evidence)?;
    Ok(Judged { gates, latency, classes, changed, confusions, sample_errors })
}

/// Bytes that an int8 weight cannot do without: its values, scales and zero points, and what is added to its channels.
fn least_bytes(weight: &QWeight) -> usize {
    let shift = weight.shift().map_or(0, size_of_val);
    weight.shape().len() + weight.scales().bytes() + weight.zero_points().len() + shift
}

/// How many times smaller a quantized thing must be: 3.9 times per channel, 3.7 times in blocks, or 98 %
/// of what is possible where small rows or what is not a weight make that impossible.
fn size_limit(blocks: bool, possible: f64) -> f64 {
    let full: f64 = if blocks { 3.7 } else { 3.9 };
    full.min(0.98 * possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter where that is possible, and 98 % of what is possible elsewhere.
    #[test]
    fn sizes_are_held_to_what_is_possible() {
        assert_eq!(size_limit(false, 4.0), 3.9);
        assert_eq!(size_limit(true, 4.0), 3.7);
        assert_eq!(size_limit(false, 3.0), 0.98 * 3.0);
        assert_eq!(size_limit(true, 1.0), 0.98);
    }
}
