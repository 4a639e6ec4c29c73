//! The gates, one a file: each asks one question of the evidence and answers with a measurement.

mod accuracy;
mod agreement;
mod calibration;
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
mod weight_bytes;

use super::{AuditOptions, Budget, Evidence, Gate, LatencyPairs, Subject};
use crate::Result;
use crate::int8::QWeight;

/// Every gate, in the order of the report, and the passes that were timed on the way.
///
/// # Errors
/// If a model does not run at all; a gate that finds a fault is a result, not an error.
pub fn all(
    subject: &Subject,
    evidence: &Evidence,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<(Vec<Gate>, Vec<LatencyPairs>)> {
    let mut gates = vec![
        f32_floor::f32_floor(subject, evidence, budget)?,
        structure::structure(subject, evidence)?,
        coverage::coverage(subject, evidence)?,
        output_error::output_error(subject, evidence, budget)?,
        accuracy::accuracy(subject, evidence)?,
        agreement::agreement(subject, evidence)?,
        weight_bytes::weight_bytes(subject)?,
        file_bytes::file_bytes(evidence)?,
        process_memory::process_memory(subject, evidence, options)?,
        no_f32_copy::no_f32_copy(subject, evidence, options)?,
        round_trip::round_trip(subject, evidence, options)?,
        determinism::determinism(subject, evidence, options)?,
        overflow::overflow(subject)?,
        calibration::calibration(subject, evidence, options)?,
    ];
    let mut pairs = Vec::new();
    if options.latency {
        let (gate, timed) = latency::latency(subject, options)?;
        gates.push(gate);
        pairs = timed;
    }
    Ok((gates, pairs))
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
