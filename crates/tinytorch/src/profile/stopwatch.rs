//! Passes of which nothing but times is noted, so that they take as long as passes that nobody observes.

use super::layers::nanoseconds;
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun};
use crate::nn::Forward;
use std::time::{Duration, Instant};

/// What a pass took, in nanoseconds.
pub(super) struct Pass {
    /// Every op, what it allocates included.
    pub(super) ops: Vec<u64>,
    /// What lies between ops, where values are freed.
    pub(super) between: u64,
}

/// Runs a pass and notes how long its ops took.
///
/// # Errors
/// If the model does not run on the input.
pub(super) fn timed<M: Forward<X> + ?Sized, X>(model: &M, input: &X) -> Result<Pass> {
    let mut stopwatch = Stopwatch::default();
    let started = Instant::now();
    let output = model.call(input, &mut Ctx::eval().observed(&mut stopwatch))?;
    let whole = started.elapsed();
    drop(output);
    let between = nanoseconds(whole.saturating_sub(stopwatch.ops.iter().sum()));
    Ok(Pass { ops: stopwatch.ops.into_iter().map(nanoseconds).collect(), between })
}

#[derive(Default)]
struct Stopwatch {
    ops: Vec<Duration>,
}

impl Observer for Stopwatch {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        self.ops.push(run.elapsed);
        Ok(())
    }
}
