use crate::Result;
use crate::audit::{Evidence, Gate, Subject, Task, task};

/// Share of the samples or tokens on which both models must answer alike.
const ALIKE: f64 = 0.99;

/// The int8 model gives the same answers, right or wrong.
pub(crate) fn agreement(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let share = task::agreement(&evidence.float, &evidence.int8)?;
    let counted = Task::of(&subject.held_out).counted(subject.held_out.labels());
    let reason = format!("same top-1 answer on {counted}");
    Ok(Gate::at_least("agreement", share * 100.0, ALIKE * 100.0, "%", reason))
}
