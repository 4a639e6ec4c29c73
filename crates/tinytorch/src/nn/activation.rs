//! Activations as layers.

use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};

macro_rules! activation {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        #[derive(Module, Clone, Copy, Debug)]
        pub struct $name;

        impl Forward for $name {

            type Output = Var;

            fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
                input.$method(ctx)
            }
        }
    };
}

activation! {
    /// `max(x, 0)`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Relu}};
    /// let x = Tensor::from_vec(vec![-1.0, 2.0], [2])?;
    /// assert_eq!(Relu.forward(&x.into(), &mut Ctx::eval())?.value().to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Relu, relu
}

activation! {
    /// The logistic function, `1 / (1 + e^-x)`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Sigmoid}};
    /// let y = Sigmoid.forward(&Tensor::scalar(0.0).into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().item()?, 0.5);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Sigmoid, sigmoid
}

activation! {
    /// The hyperbolic tangent, `(e^x - e^-x) / (e^x + e^-x)`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Tanh}};
    /// let y = Tanh.forward(&Tensor::scalar(100.0).into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().item()?, 1.0);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Tanh, tanh
}

activation! {
    /// `x P(X <= x)` for a standard normal `X`: `x (1 + erf(x / sqrt 2)) / 2`
    /// (Hendrycks and Gimpel, 2016).
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Gelu}};
    /// let y = Gelu.forward(&Tensor::scalar(1.0).into(), &mut Ctx::eval())?;
    /// assert!((y.value().item()? - 0.841345).abs() < 1e-5);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Gelu, gelu
}

activation! {
    /// GELU as GPT-2 computes it: `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, GeluTanh}};
    /// let y = GeluTanh.forward(&Tensor::scalar(1.0).into(), &mut Ctx::eval())?;
    /// assert!((y.value().item()? - 0.841192).abs() < 1e-5);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    GeluTanh, gelu_tanh
}

activation! {
    /// GELU's coarsest form: `x sigmoid(1.702 x)`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, GeluSigmoid}};
    /// let y = GeluSigmoid.forward(&Tensor::scalar(1.0).into(), &mut Ctx::eval())?;
    /// assert!((y.value().item()? - 0.845796).abs() < 1e-5);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    GeluSigmoid, gelu_sigmoid
}

activation! {
    /// `x sigmoid(x)`, also called swish (Elfwing et al., 2017).
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Silu}};
    /// let y = Silu.forward(&Tensor::scalar(2.0).into(), &mut Ctx::eval())?;
    /// assert!((y.value().item()? - 1.761594).abs() < 1e-5);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Silu, silu
}

/// `e^x / sum e^x` over the last axis: probabilities from logits.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Softmax}};
/// let y = Softmax.forward(&Tensor::ones([1, 4])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [0.25; 4]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct Softmax;

impl Forward for Softmax {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.softmax(input.shape().rank().saturating_sub(1), ctx)
    }
}
