//! The graph that a model's ops are lowered to: what a deployment engine reads, rewrites and runs.
//!
//! Every op describes itself in two forms: [`Compute`] (shape, numbers, cost, properties) and, through
//! [`Op::lower`](crate::autograd::Op::lower), the [`Step`] that stands for it in a graph. Steps that a
//! plan computes in another way than the op itself (a linear layer with its weight packed) have a variant
//! of their own; everything else is [`Step::Compute`]. Shapes are not stored: a graph is evaluated for the
//! shape of each input it meets, so neither batch size nor sequence length is baked in. Sizes that a graph
//! computes, as lists of integers, are known before it runs ([`Known`]).
//!
//! ```
//! use std::sync::Arc;
//! use tinytorch_core::graph::{Graph, Step};
//! use tinytorch_core::ops::Relu;
//! let mut graph = Graph::new();
//! let x = graph.input();
//! let y = graph.push(Step::Compute(Arc::new(Relu)), &[x])?;
//! graph.set_output(y);
//! assert_eq!(graph.nodes().len(), 2);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod batch_norm;
mod compute;
mod eager;
mod edit;
mod exec;
mod param_id;
mod properties;
mod turns;
mod view;

pub(crate) use crate::geometry::image_dims;
pub use crate::geometry::{ConvGeometry, GeometryError, PoolGeometry, ShortcutGeometry};
pub use batch_norm::{BatchNorm, ScaleShift};
pub use compute::{Compute, Cost, Known, known};
pub(crate) use eager::places;
pub use exec::{Exec, QuantizedRows};
pub(crate) use exec::{quantize_images, quantize_rows};
pub use param_id::ParamId;
pub use properties::{Orders, Properties};
pub(crate) use turns::Turns;
pub(crate) use view::for_dtype;
pub use view::{Elements, ElementsMut, Inputs, View, ViewMut, Viewed};

use crate::Result;
use crate::int8::Int8Weight;
use crate::tensor::Tensor;
use std::sync::Arc;

/// What can go wrong with a graph.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An edge that the graph does not have.
    #[error(
        "output {output} of node {node} is not in this graph of {nodes} nodes; use the edges its own methods return"
    )]
    UnknownEdge {
        /// The node of the edge given.
        node: usize,
        /// The output of the node.
        output: usize,
        /// Number of nodes in the graph.
        nodes: usize,
    },
    /// A weight that is computed in the pass.
    #[error(
        "{op}: the weight depends on the input of the pass; only stored weights can be deployed"
    )]
    NotConstant {
        /// The op.
        op: &'static str,
    },
    /// An input that the op needs.
    #[error("{op} needs its input {input}; only optional inputs may be left out")]
    MissingInput {
        /// The op.
        op: &'static str,
        /// The input.
        input: usize,
    },
    /// A shape that depends on values which are not known before they are computed.
    #[error(
        "{op}: the shape of its output depends on values that the plan computes; shapes may depend on constants and on the sizes of inputs"
    )]
    NotDecided {
        /// The op.
        op: &'static str,
    },
    /// An op whose description is incomplete.
    #[error(
        "{op} defines neither `shape` and `run` for one output of floats nor `outputs` and `run_typed`; define one of the pairs"
    )]
    NoShape {
        /// The op.
        op: &'static str,
    },
    /// An op with another number of outputs where one is needed.
    #[error("{op} has {outputs} outputs where one is needed; apply it with `apply_many`")]
    OutputCount {
        /// The op.
        op: &'static str,
        /// How many it has.
        outputs: usize,
    },
    /// An op that exists in training only.
    #[error("{op} depends on the training batch and cannot be deployed; trace an inference pass")]
    TrainingOnly {
        /// The op.
        op: &'static str,
    },
}

/// An output of a node, and so an input of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    node: usize,
    output: usize,
}

impl Edge {
    /// The index of the node whose output this is.
    pub fn node(self) -> usize {
        self.node
    }

    /// Which of the node's outputs it is.
    pub fn output(self) -> usize {
        self.output
    }
}

/// A weight as a step holds it: shared with the model it came from.
#[derive(Clone, Debug)]
pub enum Weight {
    /// Floats, in the layer's own shape.
    F32(Tensor),
    /// Packed int8 with its scales.
    Int8(Int8Weight),
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Step {
    /// An input of the whole graph.
    Input,
    /// A value that is the same in every run.
    Constant(Tensor),
    /// `x W^T + bias`, then optionally the positive part.
    Linear {
        /// `[out, in]`.
        weight: Weight,
        /// `[out]`.
        bias: Option<Tensor>,
        /// Whether negative outputs become 0.
        relu: bool,
    },
    /// A two-dimensional convolution plus bias, plus a second input if it has one, then optionally the
    /// positive part. The op has one input; a plan lets convolutions take over sums.
    Conv2d {
        /// `[out, in / groups, height, width]`.
        weight: Weight,
        /// `[out]`.
        bias: Option<Tensor>,
        /// How the kernel moves.
        geometry: ConvGeometry,
        /// Whether negative outputs become 0.
        relu: bool,
    },
    /// Each channel of `[batch, channels, height, width]` scaled and shifted.
    BatchNorm2d(BatchNorm),
    /// Any other computation, as the op itself does it.
    Compute(Arc<dyn Compute>),
}

impl Step {
    /// How many outputs it has.
    pub fn output_count(&self) -> usize {
        if let Step::Compute(op) = self { op.output_count() } else { 1 }
    }

    /// The facts about an op that is run as it is; those about other steps are in their variants.
    pub fn properties(&self) -> Properties {
        if let Step::Compute(op) = self { op.properties() } else { Properties::default() }
    }
}

/// A step and where its inputs come from.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub step: Step,
    /// The outputs it reads; `None` for an optional input that is left out.
    pub inputs: Vec<Option<Edge>>,
    /// The parameters it was made from, in the order the op takes them: weight, then bias for a
    /// linear layer or convolution; weight, bias, running mean, running variance for a batch norm.
    pub params: Vec<ParamId>,
}

impl Node {
    /// The output it reads as input `i`.
    pub fn input(&self, i: usize) -> Option<Edge> {
        self.inputs.get(i).copied().flatten()
    }

    /// The outputs it reads, without those left out.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        self.inputs.iter().copied().flatten()
    }
}

/// Steps in an order in which each comes after its inputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Edge>,
    outputs: Vec<Edge>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds an input of the whole graph.
    pub fn input(&mut self) -> Edge {
        let edge = self.add(Step::Input, Vec::new());
        self.inputs.push(edge);
        edge
    }

    /// Adds a value that is the same in every run.
    pub fn constant(&mut self, value: Tensor) -> Edge {
        self.add(Step::Constant(value), Vec::new())
    }

    /// Adds a step that reads earlier outputs.
    ///
    /// # Errors
    /// [`GraphError::UnknownEdge`] for an edge of another graph.
    pub fn push(&mut self, step: Step, inputs: &[Edge]) -> Result<Edge> {
        let inputs: Vec<Option<Edge>> = inputs.iter().copied().map(Some).collect();
        self.push_optional(step, &inputs)
    }

    /// [`Graph::push`] for a step some of whose inputs may be left out. The edge is the step's first
    /// output; [`Graph::outputs_of`] gives them all.
    ///
    /// # Errors
    /// As [`Graph::push`].
    pub fn push_optional(&mut self, step: Step, inputs: &[Option<Edge>]) -> Result<Edge> {
        inputs.iter().flatten().try_for_each(|&edge| self.check(edge))?;
        Ok(self.add(step, inputs.to_vec()))
    }

    fn check(&self, edge: Edge) -> Result<()> {
        let Edge { node, output } = edge;
        let outputs = self.nodes.get(node).map_or(0, |node| node.step.output_count());
        if output < outputs {
            return Ok(());
        }
        Err(GraphError::UnknownEdge { node, output, nodes: self.nodes.len() }.into())
    }

    fn add(&mut self, step: Step, inputs: Vec<Option<Edge>>) -> Edge {
        self.nodes.push(Node { step, inputs, params: Vec::new() });
        Edge { node: self.nodes.len() - 1, output: 0 }
    }

    /// Every output of the node whose output `edge` is.
    pub fn outputs_of(&self, edge: Edge) -> Vec<Edge> {
        let outputs = self.nodes.get(edge.node).map_or(0, |node| node.step.output_count());
        (0..outputs).map(|output| Edge { output, ..edge }).collect()
    }

    /// Names the parameters that the node at `edge` was made from.
    ///
    /// # Errors
    /// [`GraphError::UnknownEdge`] for an edge of another graph.
    pub fn set_params(&mut self, edge: Edge, params: Vec<ParamId>) -> Result<()> {
        self.check(edge)?;
        self.nodes[edge.node].params = params;
        Ok(())
    }

    /// The value of an edge that is the same in every run; `op` names who needs it to be.
    ///
    /// # Errors
    /// [`GraphError::NotConstant`] if it depends on an input, or is left out.
    pub fn constant_at(&self, edge: Option<Edge>, op: &'static str) -> Result<&Tensor> {
        match edge.and_then(|edge| self.nodes.get(edge.node)).map(|node| &node.step) {
            Some(Step::Constant(value)) => Ok(value),
            _ => Err(GraphError::NotConstant { op }.into()),
        }
    }

    /// [`Graph::constant_at`] for input `i` of an op that does without it.
    ///
    /// # Errors
    /// [`GraphError::NotConstant`] if it depends on an input.
    pub fn optional_constant(
        &self,
        inputs: &[Option<Edge>],
        i: usize,
        op: &'static str,
    ) -> Result<Option<Tensor>> {
        let edge = inputs.get(i).copied().flatten();
        edge.map(|edge| self.constant_at(Some(edge), op).cloned()).transpose()
    }

    /// Declares the one result of the whole graph.
    pub fn set_output(&mut self, edge: Edge) {
        self.outputs = vec![edge];
    }

    /// Declares the results of the whole graph.
    ///
    /// # Errors
    /// [`GraphError::UnknownEdge`] for an edge of another graph.
    pub fn set_outputs(&mut self, edges: &[Edge]) -> Result<()> {
        edges.iter().try_for_each(|&edge| self.check(edge))?;
        self.outputs = edges.to_vec();
        Ok(())
    }

    /// The nodes, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inputs of the whole graph, in the order they were declared.
    pub fn inputs(&self) -> &[Edge] {
        &self.inputs
    }

    /// The results of the whole graph, in the order they were declared.
    pub fn outputs(&self) -> &[Edge] {
        &self.outputs
    }
}
