//! Layer norm.

use super::given::Given;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::tensor::Tensor;

/// Each row standardized, scaled and shifted (Ba et al., 2016):
/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, over the last axis.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Init, LayerNorm}};
/// let layer = LayerNorm::new(4, &mut Init::seed(0))?;
/// let x = Tensor::from_vec(vec![1.0, 3.0, 1.0, 3.0], [1, 4])?;
/// let y = layer.forward(&x.into(), &mut Ctx::eval())?;
/// assert!(y.value().allclose(&Tensor::from_vec(vec![-1.0, 1.0, -1.0, 1.0], [1, 4])?, 0.0, 1e-4)?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct LayerNorm {
    #[module(config)]
    normalized_shape: usize,
    #[module(config)]
    eps: f32,
    /// The scale, `[normalized_shape]`.
    pub weight: Param,
    /// The shift, `[normalized_shape]`.
    pub bias: Param,
}

impl LayerNorm {
    /// A layer for rows of this length, with PyTorch's `eps` of 1e-5.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible size.
    pub fn new(normalized_shape: usize, init: &mut Init) -> Result<LayerNorm> {
        Ok(LayerNorm {
            normalized_shape,
            eps: 1e-5,
            weight: init.full([normalized_shape], 1.0, Role::Vector)?,
            bias: init.full([normalized_shape], 0.0, Role::Vector)?,
        })
    }

    /// A layer of a scale and a shift, both `[normalized_shape]`, that are there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, LayerNorm}};
    /// let layer = LayerNorm::from_tensors(Tensor::full(2.0, [2])?, Tensor::ones([2])?)?;
    /// let x = Tensor::from_vec(vec![1.0, 3.0], [1, 2])?;
    /// let y = layer.forward(&x.into(), &mut Ctx::eval())?;
    /// assert!(y.value().allclose(&Tensor::from_vec(vec![-1.0, 3.0], [1, 2])?, 0.0, 1e-4)?);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LayerError::GivenRank`](super::LayerError::GivenRank),
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensors(weight: Tensor, bias: Tensor) -> Result<LayerNorm> {
        let given = Given("LayerNorm");
        let [length] = given.dims(&weight)?;
        let mut layer = LayerNorm::new(length, &mut Init::absent())?;
        given.store("weight", &mut layer.weight, weight)?;
        given.store("bias", &mut layer.bias, bias)?;
        Ok(layer)
    }

    /// The same layer with another constant added to the variance.
    pub fn with_eps(self, eps: f32) -> LayerNorm {
        LayerNorm { eps, ..self }
    }
}

impl Forward for LayerNorm {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let (weight, bias) = (ctx.param(&self.weight)?, ctx.param(&self.bias)?);
        input.layer_norm(&weight, &bias, self.eps, ctx)
    }
}
