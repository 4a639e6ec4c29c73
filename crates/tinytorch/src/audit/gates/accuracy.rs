use crate::Result;
use crate::audit::{Evidence, Gate, Subject, Task};

/// Share of the float accuracy that a classifier must keep, in percent.
const KEPT: f64 = 99.0;

/// How many times the float perplexity a language model's may be.
const LOST: f64 = 1.01;

/// The int8 model is as good at its task.
pub(crate) fn accuracy(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    const ID: &str = "accuracy";
    let (task, labels) = (Task::of(&subject.held_out), subject.held_out.labels());
    let float = task.quality(&evidence.float, labels)?;
    let int8 = task.quality(&evidence.int8, labels)?;
    let (measure, unit, counted) = (task.measure(), task.unit(), task.counted(labels));
    let reason =
        format!("{measure} {float:.2} {unit} in float, {int8:.2} {unit} in int8, on {counted}");
    Ok(match task {
        Task::Classification => Gate::at_least(ID, int8 / float * 100.0, KEPT, "% of f32", reason),
        Task::LanguageModel => Gate::at_most(ID, int8 / float, LOST, "x f32", reason),
    })
}
