use super::AutogradError;
use crate::Result;
use crate::graph::{Compute, Edge, Graph, Step};
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;

/// Which values an op's derivative needs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saves {
    /// Only shapes.
    Shapes,
    /// The inputs.
    Inputs,
    /// The output.
    Output,
    /// Inputs and output.
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
    pub(super) shapes: Vec<Shape>,
    pub(super) inputs: Vec<Tensor>,
    pub(super) output: Option<Tensor>,
    pub(super) needed: Vec<bool>,
}

impl Saved {
    /// The shape of input `i`.
    pub fn shape(&self, i: usize) -> &Shape {
        &self.shapes[i]
    }

    /// Number of inputs.
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
        Ok(self.inputs.get(i).ok_or(AutogradError::NotSaved { op: self.op })?)
    }

    /// The output.
    ///
    /// # Errors
    /// [`AutogradError::NotSaved`] if the op's [`Op::saves`] did not ask for it.
    pub fn output(&self) -> Result<&Tensor> {
        Ok(self.output.as_ref().ok_or(AutogradError::NotSaved { op: self.op })?)
    }
}

/// A differentiable operation: one definition for eager execution, gradients and deployment.
///
/// `forward`, `shape` and `cost` come from [`Compute`]; `backward` is the derivative and `lower` the
/// form in which a deployment engine sees the op. An op that leaves out `backward` is an error when
/// a gradient would pass through it, never silence.
pub trait Op: Compute {
    /// What the forward pass keeps for `backward`.
    fn saves(&self) -> Saves {
        Saves::Shapes
    }

    /// Gradients of the inputs from the gradient of the output: one entry per input, `None` where
    /// there is none to give (an index) or nobody [needs](Saved::needs) it.
    ///
    /// # Errors
    /// [`AutogradError::NoDerivative`] unless the op defines it.
    fn backward(&self, saved: &Saved, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let _ = (saved, grad);
        Err(AutogradError::NoDerivative { op: self.name() }.into())
    }

    /// Adds the op to a graph. Ops that graph rewriting looks for name their own [`Step`].
    ///
    /// # Errors
    /// If the graph does not know the edges.
    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge>;
}

/// [`Op::lower`] for an op that no rewrite looks for.
pub(crate) fn lower_opaque(
    op: Arc<dyn Compute>,
    graph: &mut Graph,
    inputs: &[Edge],
) -> Result<Edge> {
    graph.push(Step::Compute(op), inputs)
}
