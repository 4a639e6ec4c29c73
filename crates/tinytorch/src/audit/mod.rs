//! The audit: whether an int8 model is still the model that was trained.
//!
//! An audit runs the float and the int8 model side by side on data that neither training nor
//! calibration has seen, and asks a fixed list of questions, the [gates]. Each gate answers with a
//! measurement; a gate that cannot measure says `unknown` and never passes.

mod compare;
mod distribution;
mod error;
mod evidence;
mod files;
mod gate;
pub mod gates;
mod held_out;
mod layers;
mod metric;
mod options;
pub mod page;
mod probe;
mod reference;
mod report;
mod rounding;
mod steadiness;
mod subject;
mod task;
mod tuning;

pub use crate::quant::relative_error;
pub use distribution::{Distribution, Int8Range};
pub use error::AuditError;
pub use evidence::Evidence;
pub use files::Files;
pub use gate::{Gate, Outcome, Side};
pub use held_out::HeldOut;
pub use layers::LayerEvidence;
pub use metric::{Direction, Metric};
pub use options::AuditOptions;
pub use probe::Probe;
pub use reference::{REFERENCES, Reference};
pub use report::{BytesPair, LatencyPairs, LayerReport, Machine, ModelReport, Report};
pub use subject::{Budget, ModelFiles, Subject};
pub use task::Task;
pub use tuning::changed_params;

use crate::Result;

/// Audits one model.
///
/// # Errors
/// If a model does not run on the held-out data at all; everything else is a gate's result.
pub fn audit_model(
    subject: &Subject,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<ModelReport> {
    let evidence = Evidence::gather(subject, options)?;
    let (gates, latency) = gates::all(subject, &evidence, budget, options)?;
    Ok(ModelReport { latency, ..ModelReport::new(subject, &evidence, gates)? })
}

/// A score with the unit of its metric.
fn with_unit(score: f64, metric: &dyn Metric) -> String {
    match metric.unit() {
        "" => format!("{score:.4}"),
        unit => format!("{score:.2} {unit}"),
    }
}
