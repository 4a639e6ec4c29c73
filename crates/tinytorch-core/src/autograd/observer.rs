//! Watching a pass.

use crate::Result;
use crate::graph::{Compute, Cost, ParamId};
use crate::tensor::Tensor;
use std::sync::Arc;
use std::time::Duration;
use tinytorch_kernels::Ran;

/// An op that has run.
#[derive(Debug)]
pub struct OpRun<'a> {
    /// The op, which can be kept, and run again on other inputs or another instruction set.
    pub op: &'a Arc<dyn Compute>,
    /// What it read, without optional inputs that were left out.
    pub inputs: &'a [&'a Tensor],
    /// What it read by the place of each input, to run it again; `None` for one that was left out.
    pub given: &'a [Option<&'a Tensor>],
    /// What it computed; of several outputs, the first.
    pub output: &'a Tensor,
    /// All outputs.
    pub outputs: &'a [Tensor],
    /// The kernel that did the work.
    pub kernel: Ran,
    /// The parameter it multiplied by, if it has one.
    pub weight: Option<ParamId>,
    /// What it costs in theory.
    pub cost: Cost,
    /// How long it took.
    pub elapsed: Duration,
}

/// Watches a pass: calibration, profiling and error reports are observers.
pub trait Observer {
    /// A layer is about to multiply `activation` by the parameter `weight`.
    ///
    /// # Errors
    /// An observer that finds the activation unusable stops the pass with its own error.
    fn activation(&mut self, weight: ParamId, activation: &Tensor) -> Result<()> {
        let _ = (weight, activation);
        Ok(())
    }

    /// An op has run.
    ///
    /// # Errors
    /// An observer that finds the output unusable stops the pass with its own error.
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// What the ops behind it read in place of the output of an op that has run; `None` for what it has computed.
    ///
    /// # Errors
    /// As [`Observer::ran`], which is told afterwards.
    fn instead(&mut self, run: &OpRun<'_>) -> Result<Option<Tensor>> {
        let _ = run;
        Ok(None)
    }
}
