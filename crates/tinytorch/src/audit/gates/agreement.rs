use crate::Result;
use crate::audit::{Evidence, Gate, task};

/// Share of the samples on which both models must answer alike.
const ALIKE: f64 = 0.99;

/// The int8 model gives the same answers, right or wrong.
pub(crate) fn agreement(evidence: &Evidence) -> Result<Gate> {
    let share = task::agreement(&evidence.float, &evidence.int8)?;
    let reason = format!("same top-1 answer on {} held-out samples", evidence.float.shape()[0]);
    Ok(Gate::at_least("agreement", share * 100.0, ALIKE * 100.0, "%", reason))
}
