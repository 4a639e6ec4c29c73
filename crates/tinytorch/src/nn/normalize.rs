//! Images standardized as in training.

use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};
use std::sync::Arc;

/// Images as a model was trained on them: `y = (x - mean) / std` for each channel, with the mean and
/// the standard deviation of the training data. It has no parameters; a model that begins with it takes
/// pixels from 0 to 1 as they are.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Normalize}};
/// let layer = Normalize::new(&[0.5], &[0.25]);
/// let y = layer.forward(&Tensor::ones([1, 1, 2, 2])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [2.0; 4]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Normalize {
    #[module(config)]
    mean: Arc<[f32]>,
    #[module(config)]
    std: Arc<[f32]>,
}

impl Normalize {
    /// A layer with the mean and the standard deviation of each channel.
    pub fn new(mean: &[f32], std: &[f32]) -> Normalize {
        Normalize { mean: mean.into(), std: std.into() }
    }
}

impl Forward for Normalize {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.normalize(self.mean.clone(), self.std.clone(), ctx)
    }
}
