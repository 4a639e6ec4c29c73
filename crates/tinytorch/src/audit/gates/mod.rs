//! The gates, one a file: each asks one question of the evidence and answers with a measurement.

mod accuracy;
mod agreement;
mod coverage;
mod determinism;
mod f32_floor;
mod output_error;
mod round_trip;
mod structure;
mod weight_bytes;

use super::{Budget, Evidence, Gate, Subject};
use crate::Result;

/// Every gate, in the order of the report.
///
/// # Errors
/// If a model does not run at all; a gate that finds a fault is a result, not an error.
pub fn all(subject: &Subject, evidence: &Evidence, budget: &Budget) -> Result<Vec<Gate>> {
    Ok(vec![
        f32_floor::f32_floor(subject, evidence, budget)?,
        structure::structure(subject)?,
        coverage::coverage(subject, evidence)?,
        output_error::output_error(evidence, budget)?,
        accuracy::accuracy(subject, evidence)?,
        agreement::agreement(evidence)?,
        weight_bytes::weight_bytes(subject)?,
        round_trip::round_trip(subject, evidence)?,
        determinism::determinism(subject, evidence)?,
    ])
}
