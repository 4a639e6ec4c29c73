use crate::Result;
use crate::audit::{Budget, Evidence, Gate, Subject, Task};

/// The float model is worth the test: it does its task as well as is stated for it.
pub(crate) fn f32_floor(subject: &Subject, evidence: &Evidence, budget: &Budget) -> Result<Gate> {
    const ID: &str = "f32_floor";
    let (task, labels) = (Task::of(&subject.held_out), subject.held_out.labels());
    let Some(floor) = budget.float_floor else {
        let reason = format!("no {} is stated for this model", task.measure());
        return Ok(Gate::not_applicable(ID, reason));
    };
    let quality = task.quality(&evidence.float, labels)?;
    let reason = format!("float {} on {}", task.measure(), task.counted(labels));
    Ok(match task {
        Task::Classification => Gate::at_least(ID, quality, floor, task.unit(), reason),
        Task::LanguageModel => Gate::at_most(ID, quality, floor, task.unit(), reason),
    })
}
