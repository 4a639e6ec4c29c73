//! Whether errors grow where a state is fed back.

use super::output_error::tells_nothing;
use crate::Result;
use crate::audit::spread::{Spread, squared_distance};
use crate::audit::{AuditOptions, Budget, Evidence, Gate, Subject, compare};
use crate::models::{compile, run};
use crate::tensor::{Dtype, Tensor};

const ID: &str = "sequence";

/// Parts of a sequence, of which the last must be within the limit too.
const PARTS: usize = 4;

/// Both models take the steps one after the other, each with the state that it gave itself, and the int8 model's
/// outputs stay near the float model's: over all steps, and over the last quarter of them, where an error that grows
/// is largest. `None` for a model without a state.
///
/// All other gates judge step by step, from the states that the float model gave.
pub(crate) fn sequence(
    subject: &Subject,
    evidence: &Evidence,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<Option<Gate>> {
    let Some(sequence) = &subject.sequence else { return Ok(None) };
    let first = subject.held_out.first(1)?;
    let mut plans =
        [compile(&*subject.float, &first)?, compile(&*subject.int8, &first)?.on(options.deployed)];
    let [float, int8] = &mut plans;
    let want = sequence.outputs(|inputs| run(float, inputs))?;
    let got = sequence.outputs(|inputs| run(int8, inputs))?;
    let told = |place: &usize| want[*place].dtype() == Dtype::F32;
    let all: Vec<usize> = (0..want.len()).filter(told).collect();
    let no_state = |place: &&usize| !sequence.feedback().is_fed_back(**place);
    let judged: Vec<usize> = all.iter().filter(no_state).copied().collect();
    let judged = if judged.is_empty() { all } else { judged };
    let outputs: Vec<Tensor> = judged.iter().map(|&place| want[place].clone()).collect();
    if let Some(why) = tells_nothing(&outputs)? {
        return Ok(Some(Gate::unknown(ID, why)));
    }
    let mut errors = Vec::with_capacity(judged.len());
    for place in judged {
        errors.push(Errors {
            output: &evidence.outputs[place],
            whole: compare::errors(&got[place..=place], &want[place..=place])?[0],
            parts: parts(&got[place], &want[place])?,
        });
    }
    let fed: Vec<String> =
        sequence.feedback().names().map(|(from, to)| format!("`{from}` to `{to}`")).collect();
    let over = format!("{} steps with {} fed back", sequence.len(), fed.join(", "));
    Ok(Some(decided(&over, &errors, budget)))
}

/// How far an output is off over all steps, and over each part of them.
struct Errors<'e> {
    output: &'e str,
    whole: f64,
    parts: [f64; PARTS],
}

/// The worst of all outputs decides, each by the larger of its error over all steps and over the last part.
fn decided(over: &str, errors: &[Errors<'_>], budget: &Budget) -> Gate {
    let (mut worst, mut reasons) = (0.0, Vec::with_capacity(errors.len()));
    for Errors { output, whole, parts } in errors {
        let (first, last) = (parts[0], parts[PARTS - 1]);
        for error in [*whole, last] {
            worst = if error.is_nan() || error > worst { error } else { worst };
        }
        reasons.push(format!(
            "`{output}` {:.2} % off, {:.2} % in the first quarter and {:.2} % in the last",
            whole * 100.0,
            first * 100.0,
            last * 100.0
        ));
    }
    let reason = format!("{over}: {}", reasons.join("; "));
    Gate::at_most(ID, worst * 100.0, budget.max_error * 100.0, "%", reason)
}

/// The error of each part, relative to what the output varies by over the whole sequence.
fn parts(got: &Tensor, want: &Tensor) -> Result<[f64; PARTS]> {
    let mut spread = Spread::default();
    spread.add(want)?;
    let (rows, mut errors) = (want.shape()[0], [0.0; PARTS]);
    for (i, error) in errors.iter_mut().enumerate() {
        let (start, end) = (i * rows / PARTS, (i + 1) * rows / PARTS);
        let part = |t: &Tensor| t.slice(0, start..end);
        let share = (end - start) as f64 / rows as f64;
        let distance = squared_distance(&part(got)?, &part(want)?)?.sqrt();
        *error = distance / (spread.around_means() * share.sqrt());
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome::{Fail, Pass};

    /// What the gate says of outputs that are off by so much over all steps, and in the first and the last quarter.
    fn of(outputs: &[(f64, f64, f64)]) -> Gate {
        let errors = outputs.iter().map(|&(whole, first, last)| Errors {
            output: "speech",
            whole,
            parts: [first, whole, whole, last],
        });
        let budget = Budget { max_error: 0.02, ..Budget::default() };
        decided("40 steps with `hn` to `h` fed back", &errors.collect::<Vec<_>>(), &budget)
    }

    #[test]
    fn all_steps_and_the_last_quarter_are_held_to_the_budget() {
        assert_eq!(of(&[(0.02, 0.0, 0.02)]).result, Pass);
        assert_eq!(of(&[(0.0201, 0.0, 0.0)]).result, Fail);
        assert_eq!(of(&[(0.01, 0.0, 0.0201)]).result, Fail);
        // An error that falls is no drift, as long as all steps together are within the budget.
        assert_eq!(of(&[(0.01, 0.05, 0.0)]).result, Pass);
        assert!((of(&[(0.01, 0.0, 0.019)]).value.unwrap() - 1.9).abs() < 1e-9);
    }

    #[test]
    fn the_worst_output_decides_and_every_one_is_told() {
        for outputs in
            [[(0.001, 0.0, 0.0), (0.03, 0.0, 0.0)], [(0.03, 0.0, 0.0), (0.001, 0.0, 0.0)]]
        {
            let gate = of(&outputs);
            assert_eq!((gate.result, gate.value), (Fail, Some(3.0)));
            assert_eq!(gate.reason.matches("`speech`").count(), 2, "{}", gate.reason);
        }
    }

    #[test]
    fn errors_that_are_no_numbers_never_pass() {
        let none = f64::NAN;
        for outputs in [[(none, 0.0, 0.0), (0.0, 0.0, 0.0)], [(0.0, 0.0, 0.0), (0.0, 0.0, none)]] {
            assert_eq!(of(&outputs).result, Fail);
        }
    }

    /// Off by 1 in the last of four parts, of values -1 and 1, which vary by 1: that part is off by all of it.
    #[test]
    fn a_part_is_held_against_what_the_whole_varies_by() {
        let want: Vec<f32> = (0..40).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
        let got = want.iter().enumerate().map(|(i, v)| if i < 30 { *v } else { v + 1.0 });
        let of = |values: Vec<f32>| Tensor::from_vec(values, [40, 1]).unwrap();
        let parts = parts(&of(got.collect()), &of(want)).unwrap();
        assert_eq!(&parts[..3], [0.0; 3]);
        assert!((parts[3] - 1.0).abs() < 1e-9, "{parts:?}");
    }
}
