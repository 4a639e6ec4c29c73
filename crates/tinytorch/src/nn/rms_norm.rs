//! Root-mean-square norm.

use super::given::Given;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::tensor::Tensor;

/// Each row divided by its root mean square and scaled (Zhang and Sennrich, 2019):
/// `y = x / sqrt(mean x^2 + eps) * weight`, over the last axis.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Init, RmsNorm}};
/// let layer = RmsNorm::new(2, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::full(3f32, [1, 2])?.into(), &mut Ctx::eval())?;
/// assert!(y.value().allclose(&Tensor::ones([1, 2])?, 0.0, 1e-5)?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct RmsNorm {
    #[module(config)]
    normalized_shape: usize,
    #[module(config)]
    eps: f32,
    /// The scale, `[normalized_shape]`.
    pub weight: Param,
}

impl RmsNorm {
    /// A layer for rows of this length, with Llama's `eps` of 1e-5.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible size.
    pub fn new(normalized_shape: usize, init: &mut Init) -> Result<RmsNorm> {
        let weight = init.full([normalized_shape], 1.0, Role::Vector)?;
        Ok(RmsNorm { normalized_shape, eps: 1e-5, weight })
    }

    /// A layer of a scale `[normalized_shape]` that is there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, RmsNorm}};
    /// let layer = RmsNorm::from_tensor(Tensor::full(2.0, [2])?)?;
    /// let y = layer.forward(&Tensor::full(3f32, [1, 2])?.into(), &mut Ctx::eval())?;
    /// assert!(y.value().allclose(&Tensor::full(2.0, [1, 2])?, 0.0, 1e-5)?);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LayerError::GivenRank`](super::LayerError::GivenRank),
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensor(weight: Tensor) -> Result<RmsNorm> {
        let given = Given("RmsNorm");
        let [length] = given.dims(&weight)?;
        let mut layer = RmsNorm::new(length, &mut Init::absent())?;
        given.store("weight", &mut layer.weight, weight)?;
        Ok(layer)
    }

    /// The same layer with another constant added to the mean square.
    pub fn with_eps(self, eps: f32) -> RmsNorm {
        RmsNorm { eps, ..self }
    }
}

impl Forward for RmsNorm {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let weight = ctx.param(&self.weight)?;
        input.rms_norm(&weight, self.eps, ctx)
    }
}
