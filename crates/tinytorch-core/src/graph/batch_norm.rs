//! Batch norms as deployed.

use crate::Result;
use crate::tensor::{Shape, Tensor, TensorError};

/// A batch norm as deployed: `y = (x - mean) / sqrt(variance + eps) * weight + bias`, one of each per
/// channel, all from training (Ioffe and Szegedy, 2015).
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The learned scale, `[channels]`.
    pub weight: Tensor,
    /// The learned shift, `[channels]`.
    pub bias: Tensor,
    /// The running mean, `[channels]`.
    pub mean: Tensor,
    /// The running variance, `[channels]`.
    pub variance: Tensor,
    /// Added to the variance.
    pub eps: f32,
}

impl BatchNorm {
    /// The same function as `y = scale * x + shift`: what is run, and what folding multiplies into
    /// the weight of the convolution before it.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the four tensors differ in length.
    pub fn affine(&self) -> Result<ScaleShift> {
        let all = [&self.weight, &self.bias, &self.mean, &self.variance].map(|t| t.to_vec::<f32>());
        let [weight, bias, mean, variance] = all;
        ScaleShift::new(&weight?, &bias?, &mean?, &variance?, self.eps)
    }
}

/// `y = scale * x + shift`, one of each per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleShift {
    /// One factor per channel.
    pub scale: Vec<f32>,
    /// One summand per channel.
    pub shift: Vec<f32>,
}

impl ScaleShift {
    /// From a batch norm's tensors; see [`BatchNorm`].
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if they differ in length.
    pub(crate) fn new(
        weight: &[f32],
        bias: &[f32],
        mean: &[f32],
        variance: &[f32],
        eps: f32,
    ) -> Result<ScaleShift> {
        for other in [bias, mean, variance] {
            if other.len() != weight.len() {
                return Err(TensorError::Mismatch {
                    op: "batch_norm2d",
                    left: Shape::new(&[weight.len()])?,
                    right: Shape::new(&[other.len()])?,
                    expected: "weight, bias, mean and variance need one entry per channel each",
                }
                .into());
            }
        }
        let scale: Vec<f32> =
            weight.iter().zip(variance).map(|(w, v)| w / (v + eps).sqrt()).collect();
        let shift = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Ok(ScaleShift { scale, shift })
    }
}
