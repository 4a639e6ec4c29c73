//! One sample of a model's input.

use crate::tensor::{Shape, Tensor};
use crate::{Result, Rng};

/// One sample of a model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample {
    /// Floats of this shape.
    Values(Shape),
    /// A sequence of token ids as i64, each below `vocab`, at most `context` of them.
    Ids {
        /// Number of tokens.
        vocab: usize,
        /// Largest number of positions.
        context: usize,
        /// The id that only fills a sequence up, if there is one.
        pad: Option<usize>,
    },
}

impl Sample {
    pub(super) fn ids(vocab: usize, context: usize) -> Sample {
        Sample::Ids { vocab, context, pad: None }
    }

    /// An input of `batch` samples, always the same: values from 0 to 1, or ids that fill the context.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    pub fn batch(&self, batch: usize) -> Result<Tensor> {
        match *self {
            Sample::Values(shape) => {
                let dims: Vec<usize> = [batch].into_iter().chain(shape.to_vec()).collect();
                self.fill(&Shape::new(&dims)?)
            }
            Sample::Ids { context, .. } => self.fill(&Shape::new(&[batch, context])?),
        }
    }

    /// A batch of this shape, always the same: values from 0 to 1, or ids without padding.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    pub fn fill(&self, batch: &Shape) -> Result<Tensor> {
        let rng = &mut Rng::seed(0);
        match *self {
            Sample::Values(_) => Tensor::rand(*batch, 0.0, 1.0, rng),
            Sample::Ids { vocab, pad, .. } => {
                let next = |id| if Some(id) == pad { (id + 1) % vocab } else { id };
                let ids = (0..batch.len()).map(|_| next(rng.below(vocab.max(1))) as i64);
                Tensor::from_vec(ids.collect(), *batch)
            }
        }
    }
}
