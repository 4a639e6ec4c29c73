use crate::Result;
use crate::audit::{Budget, Evidence, Gate, Subject, task};

/// The float model is worth the test: it reaches the accuracy stated for it.
pub(crate) fn f32_floor(subject: &Subject, evidence: &Evidence, budget: &Budget) -> Result<Gate> {
    const ID: &str = "f32_floor";
    if budget.float_floor <= 0.0 {
        let reason = "no accuracy is stated for this model".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    }
    let labels = subject.held_out.labels();
    let accuracy = task::accuracy(&evidence.float, labels)?;
    let reason = format!("float accuracy on {} held-out samples", labels.len());
    Ok(Gate::at_least(ID, accuracy * 100.0, budget.float_floor * 100.0, "%", reason))
}
