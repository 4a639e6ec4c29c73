//! What can be wrong with an ONNX file, or with what it is given.

use std::fmt;
use std::path::PathBuf;
use tinytorch_core::tensor::{Dtype, Shape};
use tinytorch_core::{CustomError, Error};

/// What can go wrong with an ONNX model: one sentence that names the node and the tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something else than a regular file.
    #[error("{} is not a regular file; give an ONNX file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The bytes are no ONNX model.
    #[error("{file} is no complete ONNX model: {problem}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A model that was built here does something that is not written as ONNX's operators.
    #[error("`{step}` is not written as ONNX's operators; save the model as safetensors")]
    Untranslated {
        /// What it does.
        step: String,
    },
    /// A tensor that cannot be what it says.
    #[error("tensor `{tensor}`: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// Operators that are missing, all of them.
    #[error("{} of the model's nodes cannot run: {}", nodes.len(), listed(nodes))]
    Missing {
        /// The nodes.
        nodes: Vec<MissingNode>,
    },
    /// A node that is not as its operator needs it.
    #[error("node {node}: {problem}")]
    Node {
        /// The node.
        node: String,
        /// What is wrong.
        problem: String,
    },
    /// A node that does not run on what it is given.
    #[error("node {node}: {source}")]
    Run {
        /// The node.
        node: String,
        /// What its op says.
        source: Box<Error>,
    },
    /// A version of ONNX's operators that cannot say what a model is.
    #[error(
        "the model uses version {version} of ONNX's operators, and int8 weights with a scale for each channel need {needed} or later; convert the float model with `onnx.version_converter` first"
    )]
    Opset {
        /// The model's version.
        version: i64,
        /// The first that can.
        needed: i64,
    },
    /// The names of the graph do not fit together.
    #[error("the graph is not consistent: {problem}")]
    Graph {
        /// What is wrong.
        problem: String,
    },
    /// A graph over int8 weights that is not the float model's.
    #[error("its graph is not the float model's: {problem}")]
    OtherGraph {
        /// The first difference.
        problem: String,
    },
    /// Another number of inputs.
    #[error("the model takes {expected} inputs ({names}), got {got}")]
    InputCount {
        /// How many it takes.
        expected: usize,
        /// Their names.
        names: String,
        /// How many were given.
        got: usize,
    },
    /// An input under a name that the model does not have, or one that is not given.
    #[error("{problem}; the model takes {names}")]
    InputName {
        /// What is wrong.
        problem: String,
        /// What it takes.
        names: String,
    },
    /// An input of another type or shape.
    #[error("input `{input}` is {expected}, got {dtype} {shape}")]
    Input {
        /// The input's name.
        input: String,
        /// What the model takes.
        expected: String,
        /// The type given.
        dtype: Dtype,
        /// The shape given.
        shape: Shape,
    },
}

impl CustomError for OnnxError {}

/// A node that cannot run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingNode {
    /// The node, as its name and its operator.
    pub node: String,
    /// The operator, with its domain unless that is ONNX's own.
    pub operator: String,
    /// Why it cannot run.
    pub reason: String,
}

impl fmt::Display for MissingNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.node, self.reason)
    }
}

/// Nodes beyond which a message only counts.
const SHOWN: usize = 20;

fn listed(nodes: &[MissingNode]) -> String {
    let shown: Vec<String> = nodes.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = nodes.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// A name as messages show it, at most 100 characters of it.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String =
        name.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect();
    if name.chars().nth(100).is_some() {
        text.push_str("..");
    }
    text
}
