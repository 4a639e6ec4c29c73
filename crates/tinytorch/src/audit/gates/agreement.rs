//! Whether both models give the same answers.

use crate::Result;
use crate::audit::{Evidence, Gate, Metric, Subject, task};

const ID: &str = "agreement";

/// Share of the samples or tokens on which both models must answer alike.
const ALIKE: f64 = 0.99;

/// The int8 model gives the same answers, right or wrong.
pub(crate) fn agreement(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let task = &subject.task;
    let answers = (task.answers(&evidence.float)?, task.answers(&evidence.int8)?);
    let (Some(float), Some(int8)) = answers else {
        let reason = format!("a {} chooses no class to agree on", task.id());
        return Ok(Gate::not_applicable(ID, reason));
    };
    let share = task::same_share(&float, &int8)?;
    let counted = task.counted(subject.held_out.targets());
    let reason = format!("same top-1 answer on {counted}");
    Ok(Gate::at_least(ID, share * 100.0, ALIKE * 100.0, "%", reason))
}
