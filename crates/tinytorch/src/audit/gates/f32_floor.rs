//! Whether the float model is worth the test.

use crate::Result;
use crate::audit::{Budget, Direction, Evidence, Gate, Metric, Subject};

/// The float model is worth the test: it does its task as well as is stated for it.
pub(crate) fn f32_floor(subject: &Subject, evidence: &Evidence, budget: &Budget) -> Result<Gate> {
    const ID: &str = "f32_floor";
    let (task, targets) = (&subject.task, subject.held_out.targets());
    let Some(floor) = budget.float_floor else {
        let reason = format!("no {} is stated for this model", task.measure());
        return Ok(Gate::not_applicable(ID, reason));
    };
    let quality = task.score(&evidence.float, targets)?;
    let reason = format!("float {} on {}", task.measure(), task.counted(targets));
    let unit = task.unit().to_string();
    Ok(match task.direction() {
        Direction::HigherIsBetter => Gate::at_least(ID, quality, floor, unit, reason),
        Direction::LowerIsBetter => Gate::at_most(ID, quality, floor, unit, reason),
    })
}
