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
/// of a table of few columns. An error is told by rows of outputs, of which a sample may have many.
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
        if gate.result == Outcome::Pass && BY_NUMBER.contains(&gate.id) && !tells {
            *gate = gate.clone().undecided(&why);
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
