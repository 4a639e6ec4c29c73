//! The graph that a model's ops are lowered to: what a deployment engine reads, rewrites and runs.
//!
//! Every op describes itself in two forms: [`Compute`] (shape, numbers, cost) and, through
//! [`Op::lower`](crate::autograd::Op::lower), the [`Step`] that stands for it in a graph. Steps that
//! rewriting looks for (a linear layer, a ReLU) have a variant of their own; everything else is
//! [`Step::Compute`]. Shapes are not stored: a graph is evaluated for the shape of each input it
//! meets, so neither batch size nor sequence length is baked in.
//!
//! ```
//! use tinytorch_core::graph::{Graph, Step};
//! let mut graph = Graph::new();
//! let x = graph.input();
//! let y = graph.push(Step::Relu, &[x])?;
//! graph.set_output(y);
//! assert_eq!(graph.nodes().len(), 2);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod batch_norm;
mod compute;
mod edit;
mod exec;
mod geometry;
mod param_id;
mod turns;

pub use batch_norm::{BatchNorm, ScaleShift};
pub use compute::{Compute, Cost, Elements, View};
pub use exec::{Exec, QuantizedRows};
pub(crate) use exec::{quantize_images, quantize_rows};
pub(crate) use geometry::image_dims;
pub use geometry::{ConvGeometry, GeometryError, PoolGeometry, ShortcutGeometry};
pub use param_id::ParamId;
pub(crate) use turns::Turns;

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
        "edge {edge} is not in this graph of {nodes} nodes; use the edges its own methods return"
    )]
    UnknownEdge {
        /// The edge given.
        edge: usize,
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
    /// An op that exists in training only.
    #[error("{op} depends on the training batch and cannot be deployed; trace an inference pass")]
    TrainingOnly {
        /// The op.
        op: &'static str,
    },
}

/// The output of a node, and so an input of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge(usize);

impl Edge {
    /// The index of the node whose output this is.
    pub fn index(self) -> usize {
        self.0
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
    /// positive part. Ops have one input; a plan lets convolutions take over sums.
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
    /// The largest value of each window.
    MaxPool2d(PoolGeometry),
    /// The mean of each window, padding included as zeros.
    AvgPool2d(PoolGeometry),
    /// The mean of each channel: `[batch, channels, 1, 1]`.
    GlobalAvgPool2d,
    /// Every so many pixels, between zero channels.
    PadShortcut(ShortcutGeometry),
    /// The positive part.
    Relu,
    /// The same elements in another shape.
    Reshape(Arc<dyn Compute>),
    /// Any other computation.
    Compute(Arc<dyn Compute>),
}

/// A step and where its inputs come from.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub step: Step,
    /// The outputs it reads.
    pub inputs: Vec<Edge>,
    /// The parameters it was made from, in the order the op takes them: weight, then bias for a
    /// linear layer or convolution; weight, bias, running mean, running variance for a batch norm.
    pub params: Vec<ParamId>,
}

/// Steps in an order in which each comes after its inputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Edge>,
    output: Option<Edge>,
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
        let nodes = self.nodes.len();
        if let Some(&Edge(edge)) = inputs.iter().find(|e| e.0 >= nodes) {
            return Err(GraphError::UnknownEdge { edge, nodes }.into());
        }
        Ok(self.add(step, inputs.to_vec()))
    }

    fn add(&mut self, step: Step, inputs: Vec<Edge>) -> Edge {
        self.nodes.push(Node { step, inputs, params: Vec::new() });
        Edge(self.nodes.len() - 1)
    }

    /// Names the parameters that the node at `edge` was made from.
    ///
    /// # Errors
    /// [`GraphError::UnknownEdge`] for an edge of another graph.
    pub fn set_params(&mut self, edge: Edge, params: Vec<ParamId>) -> Result<()> {
        let nodes = self.nodes.len();
        let node =
            self.nodes.get_mut(edge.0).ok_or(GraphError::UnknownEdge { edge: edge.0, nodes })?;
        node.params = params;
        Ok(())
    }

    /// The value of an edge that is the same in every run; `op` names who needs it to be.
    ///
    /// # Errors
    /// [`GraphError::NotConstant`] if it depends on an input.
    pub fn constant_at(&self, edge: Edge, op: &'static str) -> Result<&Tensor> {
        match self.nodes.get(edge.0).map(|node| &node.step) {
            Some(Step::Constant(value)) => Ok(value),
            _ => Err(GraphError::NotConstant { op }.into()),
        }
    }

    /// Declares the result of the whole graph.
    pub fn set_output(&mut self, edge: Edge) {
        self.output = Some(edge);
    }

    /// The nodes, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inputs of the whole graph, in the order they were declared.
    pub fn inputs(&self) -> &[Edge] {
        &self.inputs
    }

    /// The result of the whole graph.
    pub fn output(&self) -> Option<Edge> {
        self.output
    }
}
