//! What a model is calibrated with.

use tinytorch::Tensor;
use tinytorch::models::Sequence;

/// What a model is calibrated with.
pub(crate) enum Samples {
    /// One tensor for each of its inputs, the samples one below the other.
    Apart(Vec<Tensor>),
    /// The steps of a sequence, the state fed back.
    Steps(Sequence),
}

impl Samples {
    /// Samples, or steps.
    pub(super) fn count(&self) -> usize {
        match self {
            Samples::Apart(inputs) => {
                inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(0)
            }
            Samples::Steps(sequence) => sequence.len(),
        }
    }
}
