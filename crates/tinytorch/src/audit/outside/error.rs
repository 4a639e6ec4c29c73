//! What an engine answers that is no answer.

use crate::tensor::Shape;

/// What an engine answers that is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutsideError {
    /// No output at all.
    #[error("{model} gives no output; it has to give one array at least")]
    NoOutput {
        /// What the model is called.
        model: String,
    },
    /// An output whose first axis does not count the samples.
    #[error(
        "output {output} of {model} has shape {shape} for {samples} samples; its first axis must count them"
    )]
    Samples {
        /// What the model is called.
        model: String,
        /// Which output.
        output: usize,
        /// Its shape.
        shape: Shape,
        /// Samples of the pass.
        samples: usize,
    },
    /// Two models whose outputs cannot be compared.
    #[error(
        "{float} gives {of_float} and {int8} gives {of_int8}; both models must give the same outputs"
    )]
    OtherOutputs {
        /// What the float model is called.
        float: String,
        /// The shapes of its outputs.
        of_float: String,
        /// What the int8 model is called.
        int8: String,
        /// The shapes of its outputs.
        of_int8: String,
    },
}

impl crate::CustomError for OutsideError {}
