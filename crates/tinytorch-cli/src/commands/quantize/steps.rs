//! A sequence cut into parts that calibrate and one that judges.

use anyhow::Result;
use tinytorch::models::{Model, Sequence, compile, run};

/// Steps of a part that calibrates: layers are tried on few of these.
const PART: usize = 64;

/// One step in this many, all of them at the end, judges; the others calibrate.
const HELD_OUT: usize = 4;

/// The parts of a sequence, each from the state that the float model had reached there.
pub(super) struct Steps {
    /// A single step, to trace a pass with, and then parts from the middle on.
    pub(super) calibration: Vec<Sequence>,
    /// The last quarter, through which a model that is tried goes with its own state.
    pub(super) held_out: Sequence,
}

impl Steps {
    pub(super) fn of(model: &dyn Model, sequence: &Sequence) -> Result<Steps> {
        let mut plan = compile(model, &sequence.first()?)?;
        let met = sequence.met(|inputs| run(&mut plan, inputs))?;
        let judged = sequence.len() - sequence.len() / HELD_OUT;
        let mut parts = Vec::new();
        for start in (0..judged).step_by(PART) {
            parts.push(sequence.part(start..judged.min(start + PART), &met)?);
        }
        // A sequence often begins with nothing in it.
        let middle = parts.len() / 2;
        parts.rotate_left(middle);
        let mut calibration = vec![sequence.part(0..1, &met)?];
        calibration.append(&mut parts);
        let held_out = sequence.part(judged.min(sequence.len() - 1)..sequence.len(), &met)?;
        Ok(Steps { calibration, held_out })
    }
}
