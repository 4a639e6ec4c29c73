//! What can go wrong between this process and an engine's.

use super::wire;
use std::path::PathBuf;
use tinytorch::CustomError;

/// What can go wrong between this process and an engine's.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// Python could not be started.
    #[error(
        "cannot start {}: {source}; engines run in Python, which TINYTORCH_PYTHON can name",
        python.display()
    )]
    Start {
        /// The interpreter.
        python: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine said so.
    #[error("{engine}: {problem}")]
    Engine {
        /// The engine.
        engine: &'static str,
        /// What it said.
        problem: String,
    },
    /// The process is gone, or speaks of something else.
    #[error("the process of {engine} has ended or does not answer: {problem}")]
    Gone {
        /// The engine.
        engine: &'static str,
        /// What was read instead.
        problem: String,
    },
    /// Numbers of a type that is not held.
    #[error("{engine} gives {dtype}; of {} arrays can be judged", known())]
    Dtype {
        /// The engine.
        engine: &'static str,
        /// The type.
        dtype: String,
    },
}

impl CustomError for EngineError {}

fn known() -> String {
    wire::DTYPES.map(|(name, _)| name).join(", ")
}
