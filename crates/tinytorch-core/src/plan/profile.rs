//! What a plan does, and how long it takes.

use super::Plan;
use super::action::Action;
use super::program::ValueId;
use crate::Result;
use crate::autograd::Feed;
use crate::graph::Cost;
use crate::int8::Encoding;
use crate::tensor::{Dtype, Shape};
use std::time::{Duration, Instant};
use tinytorch_kernels::Ran;

/// A value that a step reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// Its dimensions, `[batch, channels, height, width]` whatever the order in memory.
    pub shape: Shape,
    /// Its element type; of 16-bit levels, that of their two bytes.
    pub dtype: Dtype,
}

/// A step of a plan, for the input shape that it met last.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// Dotted name of the weight it was made for, or what it does if there is none.
    pub name: String,
    /// What it does, fused parts included.
    pub op: &'static str,
    /// The kernel that it ran last; `None` before the first run.
    pub kernel: Option<Ran>,
    /// What it reads, weights aside.
    pub inputs: Vec<ValueInfo>,
    /// What it writes; of several outputs, the first.
    pub output: ValueInfo,
    /// All that it writes.
    pub outputs: Vec<ValueInfo>,
    /// Whether it stands before a layer or after it, and only gives a value another form: the step that is
    /// made for the layer has its name too.
    pub converts: bool,
    /// Whether it takes rows of a table, which nothing multiplies.
    pub looks_up: bool,
    /// Bytes of its weights.
    pub weight_bytes: usize,
    /// What it costs in theory.
    pub cost: Cost,
}

/// How long a step took.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// The step's name, or [`StepTime::OTHER`].
    pub name: String,
    /// What the step does.
    pub op: &'static str,
    /// The kernel that ran, empty if the step's result was decided beforehand.
    pub kernel: &'static str,
    /// Its time.
    pub time: Duration,
}

impl StepTime {
    /// The row of what belongs to no step: checking the input, allocating the output, handing over.
    pub const OTHER: &'static str = "[other]";
}

impl Plan {
    /// What the plan does, step by step.
    pub fn steps(&self) -> Vec<StepInfo> {
        let placement = &self.placements[self.current];
        let instructions = self.program.instructions.iter().enumerate();
        let step = |(i, instruction): (usize, &super::program::Instruction)| {
            let action: &dyn Action = &*instruction.action;
            StepInfo {
                name: instruction.weight.clone().unwrap_or_else(|| action.name().to_string()),
                op: action.name(),
                kernel: self.memory.kernel(i),
                inputs: instruction.inputs.iter().map(|&id| self.value_info(id)).collect(),
                output: self.value_info(instruction.outputs[0]),
                outputs: instruction.outputs.iter().map(|&id| self.value_info(id)).collect(),
                converts: action.converts(),
                looks_up: action.properties().looks_up,
                weight_bytes: action.weight_bytes(),
                cost: placement.costs[i],
            }
        };
        instructions.map(step).collect()
    }

    /// Runs the plan once and times its steps. The last row is [`StepTime::OTHER`]; together the
    /// rows are the time of the whole run.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn profile<F: Feed>(&mut self, input: &F) -> Result<Vec<StepTime>> {
        let mut times = Vec::with_capacity(self.program.instructions.len());
        let started = Instant::now();
        self.run_and_time(&input.tensors(), Some(&mut times))?;
        let whole = started.elapsed();
        let other = whole.saturating_sub(times.iter().sum());
        let mut rows: Vec<StepTime> = self
            .steps()
            .into_iter()
            .zip(times)
            .map(|(step, time)| StepTime {
                name: step.name,
                op: step.op,
                kernel: step.kernel.map_or("", |ran| ran.name),
                time,
            })
            .collect();
        let name = StepTime::OTHER.to_string();
        rows.push(StepTime { name, op: "", kernel: "", time: other });
        Ok(rows)
    }

    fn value_info(&self, id: ValueId) -> ValueInfo {
        let root = self.program.root(id);
        let value = &self.program.values[root];
        let placement = &self.placements[self.current];
        let dtype = match value.encoding {
            Encoding::F32 => placement.dtypes[root],
            Encoding::Static(_) | Encoding::PerRow | Encoding::PerRow16 => Dtype::U8,
        };
        ValueInfo { shape: placement.shapes[id], dtype }
    }
}
