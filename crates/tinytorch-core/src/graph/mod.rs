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

mod angles;
mod batch_norm;
mod compute;
mod edit;
mod error;
mod exec;
mod param_id;
mod properties;
mod stop;
mod turns;
mod view;

pub(crate) use crate::geometry::image_dims;
pub use crate::geometry::{ConvGeometry, GeometryError, PoolGeometry, ShortcutGeometry};
pub(crate) use angles::Angles;
pub use angles::RopeScaling;
pub use batch_norm::{BatchNorm, ScaleShift};
pub use compute::{Compute, Cost, Known, known};
pub use error::GraphError;
pub use exec::{Exec, QuantizedRows};
pub(crate) use exec::{quantize_images, quantize_rows};
pub use param_id::ParamId;
pub use properties::{Orders, Properties, Sizes};
pub use stop::Stop;
pub use tinytorch_kernels::f32::Bounds;
pub(crate) use turns::Turns;
pub use view::{Elements, ElementsMut, Inputs, View, ViewMut, Viewed};
pub(crate) use view::{for_dtype, places};

use crate::Result;
use crate::int8::{Encoding, Int8Weight, QParams};
use crate::tensor::Tensor;
use std::sync::Arc;

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
    /// `x W^T + bias`, kept between bounds.
    Linear {
        /// `[out, in]`.
        weight: Weight,
        /// `[out]`.
        bias: Option<Tensor>,
        /// What outputs are kept between; with int8 weights there are none, or those of a ReLU.
        bounds: Bounds,
    },
    /// A two-dimensional convolution plus bias, plus a second input if it has one, kept between
    /// bounds. The op has one input; a plan lets convolutions take over sums.
    Conv2d {
        /// `[out, in / groups, height, width]`.
        weight: Weight,
        /// `[out]`.
        bias: Option<Tensor>,
        /// How the kernel moves.
        geometry: ConvGeometry,
        /// What outputs are kept between; with int8 weights there are none, or those of a ReLU.
        bounds: Bounds,
    },
    /// Each channel of `[batch, channels, height, width]` scaled and shifted.
    BatchNorm2d(BatchNorm),
    /// Floats to the levels of an encoding. Images are laid out pixel by pixel, as int8 convolutions read
    /// them, and each has its own range where rows have; other values are quantized row by row.
    Quantize {
        /// How the output is stored.
        encoding: Encoding,
        /// Whether the values are images `[batch, channels, height, width]` for a convolution.
        images: bool,
    },
    /// Levels to the floats that they stand for: of a quantized value, or of unsigned bytes from outside.
    Dequantize(QParams),
    /// A computation of floats between levels: each input stands for floats, and so does the output. What
    /// rewriting makes of a dequantized op whose result is quantized.
    BetweenLevels {
        /// The computation, of floats to floats.
        op: Arc<dyn Compute>,
        /// What the levels of each input stand for.
        inputs: Vec<QParams>,
        /// What the levels of the output stand for.
        output: QParams,
    },
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

    pub(crate) fn check(&self, edge: Edge) -> Result<()> {
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

    /// What a layer reads whose input is encoded like this: the edge itself if that is in floats.
    ///
    /// # Errors
    /// As [`Graph::push`].
    pub(crate) fn quantized(
        &mut self,
        edge: Option<Edge>,
        encoding: Encoding,
        images: bool,
    ) -> Result<Option<Edge>> {
        match encoding {
            Encoding::F32 => Ok(edge),
            _ => self.push_optional(Step::Quantize { encoding, images }, &[edge]).map(Some),
        }
    }

    /// How the values on an edge are stored.
    pub fn encoding(&self, edge: Edge) -> Encoding {
        let Some(node) = self.nodes.get(edge.node) else { return Encoding::F32 };
        match &node.step {
            Step::Quantize { encoding, .. } => *encoding,
            Step::BetweenLevels { output, .. } => Encoding::Static(*output),
            Step::Compute(op) if op.properties().selects => {
                node.input(0).map_or(Encoding::F32, |input| self.encoding(input))
            }
            _ => Encoding::F32,
        }
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
