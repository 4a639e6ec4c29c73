//! What a pass runs in.

use super::error::AutogradError;
use super::gradients::{BufferUpdate, Gradients};
use super::observer::{Observer, OpRun};
use super::op::Op;
use super::param::Param;
use super::tape::Tape;
use super::var::{Point, Var};
use crate::graph::{Compute, Exec, GraphError, ParamId};
use crate::tensor::{Shape, Tensor};
use crate::{Result, Rng};
use std::sync::Arc;
use std::time::Instant;
use tinytorch_kernels::Isa;

/// Whether layers behave as in training (dropout drops, batch norm uses the batch) or as deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training.
    Train,
    /// Inference.
    Eval,
}

/// What a pass needs beside its input: the mode, random numbers, the tape, an observer, and the
/// instruction set and working memory of the kernels.
///
/// Contexts are values made for a pass; all that they take from around them is what may [stop](crate::graph::Stop)
/// the work.
pub struct Ctx<'a> {
    mode: Mode,
    rng: Rng,
    exec: Exec,
    tape: Option<Tape>,
    observer: Option<&'a mut dyn Observer>,
    reached: Option<Reached>,
}

/// How far a pass has come, in terms of parameters, for errors that name the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// The parameter that was used last.
    pub(crate) param: ParamId,
    /// Whether an op has run since, so that its layer is done.
    pub(crate) done: bool,
}

impl Ctx<'static> {
    /// For inference: nothing is recorded.
    pub fn eval() -> Ctx<'static> {
        Ctx {
            mode: Mode::Eval,
            rng: Rng::seed(0),
            exec: Exec::new(Isa::active()),
            tape: None,
            observer: None,
            reached: None,
        }
    }

    /// For training: ops are recorded, and `rng` drives dropout.
    pub fn train(rng: Rng) -> Ctx<'static> {
        Ctx { mode: Mode::Train, rng, ..Ctx::eval().recording() }
    }

    /// For deployment: every op of an inference pass is recorded, to be [lowered](Ctx::into_tape).
    pub fn trace() -> Ctx<'static> {
        Ctx { tape: Some(Tape::for_tracing()), ..Ctx::eval() }
    }
}

impl<'a> Ctx<'a> {
    /// About how many operations take as long as an op does before it computes anything.
    pub const OF_AN_OP: u64 = 1000;

    /// The same context, recording gradients from here on.
    pub fn recording(mut self) -> Ctx<'a> {
        self.tape = Some(Tape::for_gradients());
        self
    }

    /// The same context with kernels on `isa`.
    pub fn on(mut self, isa: Isa) -> Ctx<'a> {
        self.exec = self.exec.on(isa);
        self
    }

    /// The same context, in which no op may give a value of more elements: for sizes that a file names.
    pub fn at_most(mut self, elements: usize) -> Ctx<'a> {
        self.exec.limit = elements;
        self
    }

    /// The same context, in which all ops together may do no more than so many operations, an op itself being
    /// [`Ctx::OF_AN_OP`] of them: for counts that a file names.
    pub fn within(mut self, operations: u64) -> Ctx<'a> {
        self.exec.work = operations;
        self
    }

    /// The operations that may still be done.
    pub fn work_left(&self) -> u64 {
        self.exec.work
    }

    /// Takes operations that `op` does beside those of the ops that it runs off those that may still be done.
    ///
    /// # Errors
    /// [`GraphError::TooMuchWork`] if none are left.
    pub fn spend(&mut self, op: &'static str, operations: u64) -> Result<()> {
        self.exec.spend(op, operations)
    }

    /// The same context with an observer.
    pub fn observed(self, observer: &mut dyn Observer) -> Ctx<'_> {
        Ctx {
            observer: Some(observer),
            mode: self.mode,
            rng: self.rng,
            exec: self.exec,
            tape: self.tape,
            reached: self.reached,
        }
    }

    /// Training or inference.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The random numbers of this pass.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The instruction set that kernels run on.
    pub fn isa(&self) -> Isa {
        self.exec.isa()
    }

    /// Marks a tensor as an input of the pass, so that its gradient is kept.
    pub fn input(&mut self, value: &Tensor) -> Var {
        let point = self.tape.as_mut().map(Tape::input);
        Var::new(value.clone(), point)
    }

    /// A parameter's floats as a value of the pass.
    ///
    /// # Errors
    /// As [`Param::value`].
    pub fn param(&mut self, param: &Param) -> Result<Var> {
        self.reached = Some(Reached { param: param.id(), done: false });
        let value = param.value()?;
        let tape = self.tape.as_mut().filter(|tape| param.is_trainable() || tape.traces());
        let point = tape.map(|tape| tape.param(param.id(), value));
        Ok(Var::new(value.clone(), point))
    }

    /// Runs an op on values of the pass, and records it.
    ///
    /// # Errors
    /// What the op reports, or [`AutogradError::ForeignValue`] for a value of another pass.
    pub fn apply(&mut self, op: impl Op, inputs: &[&Var]) -> Result<Var> {
        self.run_one(op, None, None, inputs)
    }

    /// Runs an op of any number of outputs on values of the pass, some of which may be left out, and
    /// records it.
    ///
    /// # Errors
    /// As [`Ctx::apply`].
    pub fn apply_many(&mut self, op: impl Op, inputs: &[Option<&Var>]) -> Result<Vec<Var>> {
        self.run(op, None, None, inputs)
    }

    /// [`Ctx::apply`] for an op that multiplies by a parameter: observers are shown its activation
    /// (`inputs[0]`) under the parameter's identity.
    ///
    /// # Errors
    /// As [`Ctx::apply`], and what the observer reports.
    pub fn apply_weighted(
        &mut self,
        op: impl Op,
        weight: Option<ParamId>,
        inputs: &[&Var],
    ) -> Result<Var> {
        let activation = inputs.first().map(|v| v.value());
        self.run_one(op, weight, activation.filter(|_| weight.is_some()), inputs)
    }

    /// [`Ctx::apply`] for an op that copies rows of a parameter: observers are told whose, and are shown
    /// no activation, since nothing is multiplied.
    ///
    /// # Errors
    /// As [`Ctx::apply`].
    pub fn apply_lookup(&mut self, op: impl Op, table: ParamId, inputs: &[&Var]) -> Result<Var> {
        self.run_one(op, Some(table), None, inputs)
    }

    fn run_one(
        &mut self,
        op: impl Op,
        weight: Option<ParamId>,
        activation: Option<&Tensor>,
        inputs: &[&Var],
    ) -> Result<Var> {
        let (name, inputs) = (op.name(), inputs.iter().copied().map(Some).collect::<Vec<_>>());
        if op.output_count() != 1 {
            return Err(GraphError::OutputCount { op: name, outputs: op.output_count() }.into());
        }
        let mut outputs = self.run(op, weight, activation, &inputs)?;
        let outputs_len = outputs.len();
        let wrong = GraphError::OutputCount { op: name, outputs: outputs_len };
        Ok(outputs.pop().filter(|_| outputs_len == 1).ok_or(wrong)?)
    }

    fn run(
        &mut self,
        op: impl Op,
        weight: Option<ParamId>,
        activation: Option<&Tensor>,
        inputs: &[Option<&Var>],
    ) -> Result<Vec<Var>> {
        if let Some(param) = weight {
            self.reached = Some(Reached { param, done: false });
        }
        self.exec.go_on()?;
        self.exec.spend(op.name(), Ctx::OF_AN_OP)?;
        let op: Arc<dyn Op> = Arc::new(op);
        let values: Vec<Option<&Tensor>> = inputs.iter().map(|v| v.map(Var::value)).collect();
        let outputs = match &mut self.observer {
            None => op.forward_many(&values, &mut self.exec)?,
            Some(observer) => {
                if let (Some(weight), Some(activation)) = (weight, activation) {
                    observer.activation(weight, activation)?;
                }
                let read: Vec<&Tensor> = values.iter().copied().flatten().collect();
                let shapes: Vec<Shape> = read.iter().map(|t| *t.shape()).collect();
                let started = Instant::now();
                let mut outputs = op.forward_many(&values, &mut self.exec)?;
                let elapsed = started.elapsed();
                let none = GraphError::OutputCount { op: op.name(), outputs: 0 };
                let output = outputs.first().ok_or(none)?;
                let cost = op.cost(&shapes, output.shape());
                let kernel = self.exec.take_kernel();
                let shared: Arc<dyn Compute> = op.clone();
                let run = OpRun {
                    op: &shared,
                    inputs: &read,
                    given: &values,
                    output,
                    outputs: &outputs,
                    kernel,
                    weight,
                    cost,
                    elapsed,
                };
                let instead = observer.instead(&run)?;
                observer.ran(run)?;
                if let (Some(instead), Some(output)) = (instead, outputs.first_mut()) {
                    *output = instead;
                }
                outputs
            }
        };
        let point = match &mut self.tape {
            Some(tape) => tape.record(op, weight, inputs, &outputs)?,
            None => None,
        };
        if let Some(reached) = &mut self.reached {
            reached.done = true;
        }
        let at = |output: usize| point.map(|point| Point { output, ..point });
        let vars = outputs.into_iter().enumerate();
        Ok(vars.map(|(output, value)| Var::new(value, at(output))).collect())
    }

    /// How far the pass has come; `None` before the first parameter.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// Whether the pass is recorded for deployment.
    pub(crate) fn traces(&self) -> bool {
        self.tape.as_ref().is_some_and(Tape::traces)
    }

    /// Notes that a running statistic has seen `value`; the optimizer's step applies it.
    pub fn update_buffer(&mut self, buffer: &Param, momentum: f32, value: Tensor) {
        if let Some(tape) = &mut self.tape {
            tape.update(BufferUpdate { id: buffer.id(), momentum, value });
        }
    }

    /// Gradients of `loss`. The tape is consumed, which frees the activations; the context goes on
    /// with an empty one.
    ///
    /// # Errors
    /// [`AutogradError::NotRecording`], [`AutogradError::NotScalar`], [`AutogradError::Untracked`],
    /// [`AutogradError::ForeignValue`], or what an op's derivative reports.
    pub fn backward(&mut self, loss: &Var) -> Result<Gradients> {
        if self.tape.is_none() || self.traces() {
            return Err(AutogradError::NotRecording.into());
        }
        let tape = self.tape.replace(Tape::for_gradients()).ok_or(AutogradError::NotRecording)?;
        tape.backward(loss, &mut self.exec)
    }

    /// The record of the pass.
    pub fn into_tape(self) -> Option<Tape> {
        self.tape
    }
}
