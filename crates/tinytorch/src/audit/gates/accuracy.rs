use crate::Result;
use crate::audit::{Evidence, Gate, Subject, task};

/// Share of the float accuracy that the int8 model must keep.
const KEPT: f64 = 0.99;

/// The int8 model is as good at its task.
pub(crate) fn accuracy(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let labels = subject.held_out.labels();
    let float = task::accuracy(&evidence.float, labels)?;
    let int8 = task::accuracy(&evidence.int8, labels)?;
    let reason = format!(
        "accuracy {:.2} % in float, {:.2} % in int8, on {} held-out samples",
        float * 100.0,
        int8 * 100.0,
        labels.len()
    );
    Ok(Gate::at_least("accuracy", int8 / float * 100.0, KEPT * 100.0, "% of f32", reason))
}
