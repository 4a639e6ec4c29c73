//! The gates, one a file: each asks one question of the evidence and answers with a measurement.

mod accuracy;
mod agreement;
mod batches;
mod calibration;
mod classes;
mod coverage;
mod determinism;
mod f32_floor;
mod file_bytes;
mod latency;
mod no_f32_copy;
mod output_error;
mod overflow;
mod process_memory;
mod round_trip;
mod structure;
mod unseen;
mod weight_bytes;

use super::answers::Answers;
use super::{AuditOptions, Budget, Evidence, Judged, Subject};
use crate::Result;
use crate::int8::QWeight;

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
    let answers = Answers::of(subject, evidence)?;
    let answers = answers.as_ref();
    let (of_classes, classes) = classes::classes(subject, answers);
    let mut gates = vec![
        f32_floor::f32_floor(subject, evidence, budget)?,
        unseen::unseen(subject)?,
        structure::structure(subject, evidence)?,
        coverage::coverage(subject, evidence)?,
        output_error::output_error(subject, evidence, budget)?,
        accuracy::accuracy(subject, evidence, answers)?,
        agreement::agreement(subject, answers),
        of_classes,
        batches::batches(subject, evidence, options)?,
        weight_bytes::weight_bytes(subject)?,
        file_bytes::file_bytes(evidence)?,
        process_memory::process_memory(subject, evidence, options)?,
        no_f32_copy::no_f32_copy(subject, evidence, options)?,
        round_trip::round_trip(subject, evidence, options)?,
        determinism::determinism(subject, evidence, options)?,
        overflow::overflow(subject, options)?,
        calibration::calibration(subject, evidence, options)?,
    ];
    let mut latency = Vec::new();
    if options.latency {
        let (gate, timed) = latency::latency(subject, options)?;
        gates.push(gate);
        latency = timed;
    }
    Ok(Judged { gates, latency, classes })
}

/// Bytes that an int8 weight cannot do without: its values and scales.
fn least_bytes(weight: &QWeight) -> usize {
    weight.shape().len() + weight.scales().bytes()
}

/// How many times smaller a quantized thing must be: 3.9 times per channel, 3.7 times in blocks, or 98 %
/// of what is possible where small rows or what is not a weight make that impossible.
fn size_limit(blocks: bool, possible: f64) -> f64 {
    let full: f64 = if blocks { 3.7 } else { 3.9 };
    full.min(0.98 * possible)
}
