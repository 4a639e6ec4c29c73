//! What can go wrong with graphs and with what ops say of themselves.

use crate::tensor::Shape;

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
    /// An output that is larger than the pass allows.
    #[error(
        "{op}: an output of shape {shape} has more than the {limit} elements that are allowed here"
    )]
    TooLarge {
        /// The op.
        op: &'static str,
        /// The output's shape.
        shape: Shape,
        /// How many elements it may have.
        limit: usize,
    },
    /// More operations than the pass allows.
    #[error(
        "{op}: it takes more operations than are allowed here, together with what was computed before"
    )]
    TooMuchWork {
        /// The op.
        op: &'static str,
    },
    /// Work that was to stop.
    #[error("the work was stopped, as was asked for")]
    Stopped,
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
