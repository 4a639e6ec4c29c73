//! Whether a model that was fine-tuned in int8 is still as good as the float model that it was made from.

use super::{accuracy, classes};
use crate::Result;
use crate::audit::answers::Answers;
use crate::audit::{Evidence, Gate, Outcome, Subject, passes};
use crate::models::compile;

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
    keep_the_worse(gates, [accuracy].into_iter().chain(lost));
    Ok(())
}

/// Puts gates of before the tuning in the place of those that answer better.
fn keep_the_worse(gates: &mut [Gate], before: impl Iterator<Item = Gate>) {
    for before in before {
        let worse = |gate: &&mut Gate| gate.id == before.id && rank(&before) > rank(gate);
        if let Some(gate) = gates.iter_mut().find(worse) {
            let reason = format!("before it was fine-tuned: {}", before.reason);
            *gate = Gate { reason, ..before };
        }
    }
}

/// How bad an answer is.
fn rank(gate: &Gate) -> u8 {
    match gate.result {
        Outcome::Fail => 2,
        Outcome::Unknown => 1,
        Outcome::Pass | Outcome::NotApplicable => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome::{Fail, NotApplicable, Pass, Unknown};

    fn gate(id: &'static str, result: Outcome, reason: &str) -> Gate {
        Gate { result, ..Gate::unknown(id, reason.to_string()) }
    }

    #[test]
    fn the_worse_answer_of_both_is_kept() {
        let of = |now: Outcome, before: Outcome| {
            let mut gates = [gate("agreement", Pass, "now"), gate("accuracy", now, "now")];
            keep_the_worse(&mut gates, [gate("accuracy", before, "before")].into_iter());
            let [other, gate] = gates;
            assert_eq!((other.result, &*other.reason), (Pass, "now"));
            (gate.result, gate.reason)
        };
        for (now, before) in [(Pass, Fail), (Pass, Unknown), (Unknown, Fail), (NotApplicable, Fail)]
        {
            assert_eq!(of(now, before), (before, "before it was fine-tuned: before".to_string()));
        }
        for (now, before) in
            [(Fail, Pass), (Fail, Unknown), (Unknown, Pass), (Fail, Fail), (Pass, NotApplicable)]
        {
            assert_eq!(of(now, before), (now, "now".to_string()));
        }
    }
}
