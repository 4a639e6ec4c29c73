//! Whether a model that was fine-tuned in int8 is still as good as the float model that it was made from.

use super::{accuracy, classes};
use crate::Result;
use crate::audit::answers::Answers;
use crate::audit::{Evidence, Gate, Outcome, Subject, passes};
use crate::models::compile;
use std::slice;

/// Holds a fine-tuned model to the float model before the tuning too: in accuracy, and in classes that are lost for certain, as
/// tuning moves answers both ways. The float twin that the other gates compare with has what was tuned, so that what a
/// tuning has spoiled is spoiled in both.
///
/// # Errors
/// If the float model does not run on the data.
pub(super) fn hold_to_it(gates: &mut [Gate], subject: &Subject, evidence: &Evidence) -> Result<()> {
    if subject.tuning.is_none() || subject.held_out.targets().is_empty() {
        return Ok(());
    }
    let mut plan = compile(subject.original(), &subject.held_out.first(1)?)?;
    let float = passes::outputs(&mut plan, &subject.held_out)?;
    let outputs = [&float[..], &evidence.int8];
    let answers = Answers::of(subject, outputs)?;
    let accuracy = accuracy::accuracy(subject, outputs, answers.as_ref())?;
    let (classes, _) = classes::classes(subject, &float, answers.as_ref());
    let lost = Some(classes).filter(|classes| classes.result == Outcome::Fail);
    for before in slice::from_ref(&accuracy).iter().chain(&lost) {
        let worse = |gate: &&mut Gate| gate.id == before.id && rank(before) > rank(gate);
        if let Some(gate) = gates.iter_mut().find(worse) {
            let reason = format!("before it was fine-tuned: {}", before.reason);
            *gate = Gate { reason, ..before.clone() };
        }
    }
    Ok(())
}

/// How bad an answer is.
fn rank(gate: &Gate) -> u8 {
    match gate.result {
        Outcome::Fail => 2,
        Outcome::Unknown => 1,
        Outcome::Pass | Outcome::NotApplicable => 0,
    }
}
