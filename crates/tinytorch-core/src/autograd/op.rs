//! An operation with its derivative, and what it keeps for that.

use super::AutogradError;
use crate::Result;
use crate::graph::{Compute, Edge, Exec, Graph, GraphError, Step};
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;

/// Which values an op's derivative needs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saves {
    /// Only shapes.
    Shapes,
    /// The inputs.
    Inputs,
    /// The outputs.
    Output,
    /// Inputs and outputs.
    Both,
}

impl Saves {
    pub(super) fn inputs(self) -> bool {
        matches!(self, Saves::Inputs | Saves::Both)
    }
    pub(super) fn output(self) -> bool {
        matches!(self, Saves::Output | Saves::Both)
    }
}

/// What the forward pass kept for an op's derivative.
#[derive(Debug)]
pub struct Saved {
    pub(super) op: &'static str,
    pub(super) shapes: Vec<Option<Shape>>,
    pub(super) inputs: Vec<Option<Tensor>>,
    pub(super) outputs: Vec<Tensor>,
    pub(super) needed: Vec<bool>,
}

impl Saved {
    /// The shape of input `i`.
    ///
    /// # Panics
    /// If the input was left out; see [`Saved::has`].
    pub fn shape(&self, i: usize) -> &Shape {
        match &self.shapes[i] {
            Some(shape) => shape,
            None => panic!("{} asked for the shape of input {i}, which was left out", self.op),
        }
    }

    /// Whether input `i` was there.
    pub fn has(&self, i: usize) -> bool {
        self.shapes.get(i).is_some_and(Option::is_some)
    }

    /// Number of inputs, with those left out.
    pub fn inputs_len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether anything upstream wants the gradient of input `i`.
    pub fn needs(&self, i: usize) -> bool {
        self.needed[i]
    }

    /// Input `i`.
    ///
    /// # Errors
    /// [`AutogradError::NotSaved`] if the op's [`Op::saves`] did not ask for it.
    pub fn input(&self, i: usize) -> Result<&Tensor> {
        Ok(self
            .inputs
            .get(i)
            .and_then(Option::as_ref)
            .ok_or(AutogradError::NotSaved { op: self.op })?)
    }

    /// The output; of several, the first.
    ///
    /// # Errors
    /// [`AutogradError::NotSaved`] if the op's [`Op::saves`] did not ask for it.
    pub fn output(&self) -> Result<&Tensor> {
        self.output_at(0)
    }

    /// Output `i`.
    ///
    /// # Errors
    /// As [`Saved::output`].
    pub fn output_at(&self, i: usize) -> Result<&Tensor> {
        Ok(self.outputs.get(i).ok_or(AutogradError::NotSaved { op: self.op })?)
    }
}

/// A differentiable operation: one definition for eager execution, gradients and deployment.
///
/// `forward`, `shape` and `cost` come from [`Compute`]; `backward` is the derivative and `lower` the
/// form in which a deployment engine sees the op. An op that leaves out `backward` is an error when
/// a gradient would pass through it, never silence. Ops can be defined outside of this crate: nothing asks
/// for more than these two traits.
pub trait Op: Compute {
    /// What the forward pass keeps for `backward`.
    fn saves(&self) -> Saves {
        Saves::Shapes
    }

    /// Gradients of the inputs from the gradient of the output: one entry per input, `None` where
    /// there is none to give (an index) or nobody [needs](Saved::needs) it. `exec` has the instruction set
    /// and the working memory of the pass.
    ///
    /// # Errors
    /// [`AutogradError::NoDerivative`] unless the op defines it.
    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let _ = (saved, grad, exec);
        Err(AutogradError::NoDerivative { op: self.name() }.into())
    }

    /// [`Op::backward`] for an op of several outputs: one gradient for each, `None` where nothing depends
    /// on the output.
    ///
    /// # Errors
    /// As [`Op::backward`].
    fn backward_many(
        &self,
        saved: &Saved,
        grads: &[Option<Tensor>],
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        match grads {
            [Some(grad)] => self.backward(saved, grad, exec),
            _ => Err(AutogradError::NoDerivative { op: self.name() }.into()),
        }
    }

    /// Adds the op to a graph in a form of its own and returns its first output; `None` if it has none,
    /// so that it becomes a [`Step::Compute`](crate::graph::Step::Compute).
    ///
    /// # Errors
    /// [`GraphError`](crate::graph::GraphError) if the op cannot be deployed.
    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let _ = (graph, inputs);
        Ok(None)
    }
}

impl Graph {
    /// Adds an op as a traced pass would: in the form of its own if it has one, else as it is. This is how
    /// an importer builds a graph of the ops of [`ops`](crate::ops).
    ///
    /// # Errors
    /// [`GraphError`] for an edge of another graph or an op that cannot be deployed.
    pub fn apply(&mut self, op: impl Op, inputs: &[Option<Edge>]) -> Result<Edge> {
        for edge in inputs.iter().flatten() {
            self.check(*edge)?;
        }
        if inputs.len() < op.inputs_needed() {
            return Err(GraphError::MissingInput { op: op.name(), input: inputs.len() }.into());
        }
        match op.lower(self, inputs)? {
            Some(edge) => Ok(edge),
            None => self.push_optional(Step::Compute(Arc::new(op)), inputs),
        }
    }
}
