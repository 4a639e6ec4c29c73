//! Samples that are copies of others, which tell nothing more.

use super::interval::FEWEST;
use super::{Gate, HeldOut, Outcome};
use crate::Result;
use crate::quant::SeenRows;
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// Gates that conclude from how many samples there are.
const BY_NUMBER: [&str; 7] =
    ["f32_floor", "output_error", "accuracy", "agreement", "classes", "calibration", "likeness"];

/// Takes back what gates conclude from many samples that are copies of a few. Some that come twice are no fault: so do those
/// of a table of few columns. An error is told by rows of outputs, of which a sample may have many. What few samples lose by
/// ranges for many is no fault of the ranges, either.
///
/// # Errors
/// If samples cannot be read.
pub(super) fn count_once(gates: &mut [Gate], held_out: &HeldOut, outputs: &[Tensor]) -> Result<()> {
    let samples = held_out.len();
    let different = different(held_out, FEWEST)?;
    if different >= FEWEST.min(samples) {
        return Ok(());
    }
    let rows = |output: &Tensor| output.len() / output.shape().last_dim().max(1) / samples.max(1);
    let rows = outputs.iter().map(rows).min().unwrap_or(1).max(1);
    let why =
        format!("only {different} of {samples} samples are different, and {FEWEST} would tell");
    for gate in gates {
        let tells = gate.id == "output_error" && different * rows >= FEWEST;
        match gate.result {
            Outcome::Pass if BY_NUMBER.contains(&gate.id) && !tells => {
                *gate = gate.clone().undecided(&why);
            }
            Outcome::Fail if gate.id == "calibration" => {
                *gate = Gate { result: Outcome::Unknown, ..gate.clone().undecided(&why) };
            }
            _ => (),
        }
    }
    Ok(())
}

/// How many samples are different, as far as there are so many.
fn different(held_out: &HeldOut, enough: usize) -> Result<usize> {
    let mut found: BTreeSet<Vec<u8>> = BTreeSet::new();
    for batch in held_out.batches() {
        found.extend(SeenRows::of(&batch?)?.iter().map(<[u8]>::to_vec));
        if found.len() >= enough {
            return Ok(enough);
        }
    }
    Ok(found.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome::{Fail, NotApplicable, Pass, Unknown};

    fn held_out(samples: usize, different: usize) -> HeldOut {
        let inputs = (0..samples).map(|i| (i % different) as f32).collect();
        HeldOut::new([Tensor::from_vec(inputs, [samples, 1]).unwrap()], []).unwrap()
    }

    /// What is left of what gates concluded from so many samples, of which so many are different, whose outputs have so many rows.
    fn of(samples: usize, different: usize, rows: usize) -> Vec<Outcome> {
        let gate = |id, value| Gate::at_least(id, value, 1.0, "", String::new());
        let mut gates = ["output_error", "accuracy", "structure"].map(|id| gate(id, 1.0)).to_vec();
        gates.push(gate("agreement", 0.0));
        let outputs = [Tensor::zeros([samples, rows, 2]).unwrap()];
        count_once(&mut gates, &held_out(samples, different), &outputs).unwrap();
        gates.iter().map(|gate| gate.result).collect()
    }

    #[test]
    fn thirty_different_samples_tell_or_all_that_there_are() {
        assert_eq!(of(60, 30, 1), [Pass, Pass, Pass, Fail]);
        assert_eq!(of(60, 29, 1), [Unknown, Unknown, Pass, Fail]);
        assert_eq!(of(20, 20, 1), [Pass, Pass, Pass, Fail]);
        assert_eq!(of(20, 19, 1), [Unknown, Unknown, Pass, Fail]);
    }

    #[test]
    fn few_samples_tell_neither_that_ranges_help_nor_that_they_harm() {
        let after = |saved, different| {
            let mut gates = [Gate::at_least("calibration", saved, 0.0, "% saved", String::new())];
            let outputs = [Tensor::zeros([60, 2]).unwrap()];
            count_once(&mut gates, &held_out(60, different), &outputs).unwrap();
            gates[0].result
        };
        assert_eq!([after(50.0, 29), after(-50.0, 29)], [Unknown, Unknown]);
        assert_eq!([after(50.0, 30), after(-50.0, 30)], [Pass, Fail]);
    }

    #[test]
    fn an_error_is_told_by_thirty_rows_of_outputs() {
        assert_eq!(of(60, 15, 2), [Pass, Unknown, Pass, Fail]);
        assert_eq!(of(60, 14, 2), [Unknown, Unknown, Pass, Fail]);
        // Of several outputs that with the fewest rows.
        let mut gates = [Gate::at_most("output_error", 0.0, 1.0, "%", String::new())];
        let outputs = [30, 1, 5].map(|rows| Tensor::zeros([60, rows, 2]).unwrap());
        count_once(&mut gates, &held_out(60, 20), &outputs).unwrap();
        assert_eq!(gates[0].result, Unknown);
    }

    #[test]
    fn what_was_not_asked_stays_so_and_copies_in_later_passes_count() {
        let mut gates = [Gate::not_applicable("agreement", "no classes".to_string())];
        count_once(&mut gates, &held_out(60, 20), &[Tensor::zeros([60, 2]).unwrap()]).unwrap();
        assert_eq!((gates[0].result, &*gates[0].reason), (NotApplicable, "no classes"));
        // 64 in a pass: the first has 20 different ones, the second others.
        let rows = (0..128).map(|i| (i % 20 + i / 64 * 20) as f32).collect();
        let held_out = HeldOut::new([Tensor::from_vec(rows, [128, 1]).unwrap()], []).unwrap();
        assert_eq!(
            (different(&held_out, 100).unwrap(), different(&held_out, 30).unwrap()),
            (40, 30)
        );
    }
}
