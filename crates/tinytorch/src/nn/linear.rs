//! Fully connected layers.

use super::given::Given;
use super::keep::keep;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::ops::Weight;
use crate::tensor::{Shape, Tensor};

/// A fully connected layer: `y = x W^T + b`.
///
/// The weight is `[out_features, in_features]` and the bias `[out_features]`, as in PyTorch; both start
/// uniform in `±1 / sqrt(in_features)`. The input is `[.., in_features]`.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Init, Linear}};
/// let layer = Linear::new(3, 2, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([5, 3])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [5, 2]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Linear {
    #[module(config)]
    in_features: usize,
    #[module(config)]
    out_features: usize,
    /// `[out_features, in_features]`.
    pub weight: Weight,
    /// `[out_features]`.
    pub bias: Option<Param>,
}

/// The course's other name for [`Linear`].
pub type Dense = Linear;

impl Linear {
    /// A layer with a bias.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(in_features: usize, out_features: usize, init: &mut Init) -> Result<Linear> {
        let bound = 1.0 / (in_features.max(1) as f32).sqrt();
        let bias = init.uniform([out_features], bound, Role::Vector)?;
        let layer = Linear::without_bias(in_features, out_features, init)?;
        Ok(Linear { bias: Some(bias), ..layer })
    }

    /// A layer without a bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn without_bias(
        in_features: usize,
        out_features: usize,
        init: &mut Init,
    ) -> Result<Linear> {
        let bound = 1.0 / (in_features.max(1) as f32).sqrt();
        let weight = init.uniform([out_features, in_features], bound, Role::LinearWeight)?;
        Ok(Linear { in_features, out_features, weight: weight.into(), bias: None })
    }

    /// A layer of a weight `[out_features, in_features]` and a bias `[out_features]` that are there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Linear}};
    /// let weight = Tensor::from_vec(vec![1.0, 2.0], [1, 2])?;
    /// let layer = Linear::from_tensors(weight, Some(Tensor::from_vec(vec![0.5], [1])?))?;
    /// let y = layer.forward(&Tensor::ones([1, 2])?.into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().to_vec::<f32>()?, [3.5]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LayerError::GivenRank`](super::LayerError::GivenRank),
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Result<Linear> {
        let given = Given("Linear");
        let [out_features, in_features] = given.dims(&weight)?;
        let mut layer = Linear::without_bias(in_features, out_features, &mut Init::absent())?;
        given.store("weight", &mut layer.weight, weight)?;
        if let Some(bias) = bias {
            let mut param = Param::absent(Shape::new(&[out_features])?, Role::Vector);
            given.store("bias", &mut param, bias)?;
            layer.bias = Some(param);
        }
        Ok(layer)
    }
}

impl Linear {
    /// Keeps these outputs, or leaves the layer half changed with an error.
    pub(crate) fn keep_outputs(&mut self, kept: &[usize]) -> Result<()> {
        keep(&mut self.weight, 0, kept)?;
        self.out_features = kept.len();
        self.bias.as_mut().map_or(Ok(()), |bias| keep(bias, 0, kept))
    }

    /// Keeps these inputs.
    pub(crate) fn keep_inputs(&mut self, kept: &[usize]) -> Result<()> {
        self.in_features = kept.len();
        keep(&mut self.weight, 1, kept)
    }
}

impl Forward for Linear {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.linear(&self.weight, self.bias.as_ref(), ctx)
    }
}
