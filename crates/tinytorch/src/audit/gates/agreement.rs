//! Whether both models give the same answers.

use crate::audit::answers::Answers;
use crate::audit::{Gate, Metric, Subject, interval};

const ID: &str = "agreement";

/// Share of the samples or tokens on which both models must answer alike.
const ALIKE: f64 = 0.99;

/// The int8 model gives the same answers, right or wrong, with 95 % confidence.
pub(crate) fn agreement(subject: &Subject, answers: Option<&Answers>) -> Gate {
    let task = &subject.task;
    let Some(answers) = answers else {
        return Gate::not_applicable(ID, format!("a {} chooses no class to agree on", task.id()));
    };
    let (share, interval) = answers.agreement();
    let counted = task.counted(subject.held_out.targets());
    let mut reason = format!("same top-1 answer on {counted}");
    let fewest = interval::fewest_for(ALIKE);
    if answers.len() < fewest {
        reason.push_str(&format!(", where {fewest} without a difference would tell"));
    }
    let gate = Gate::at_least(ID, share * 100.0, ALIKE * 100.0, "%", reason);
    gate.decided_by(interval.scaled(100.0, 0.0))
}
