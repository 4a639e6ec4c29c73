use crate::tensor::{IntoShape, Tensor};
use crate::{Result, Rng};

/// The input that measurements run on: values from 0 to 1, the same in every process.
///
/// # Errors
/// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
pub(super) fn sample(shape: impl IntoShape) -> Result<Tensor> {
    Tensor::rand(shape, 0.0, 1.0, &mut Rng::seed(0))
}
