//! The feed-forward layers of transformers.

use super::{Forward, Init, Linear, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};
use serde::{Deserialize, Serialize};

/// The function between the two layers of a [`FeedForward`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// GELU by the error function.
    #[default]
    Gelu,
    /// GELU by `tanh`, as in GPT-2.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    GeluSigmoid,
    /// `x sigmoid(x)`.
    Silu,
}

impl Activation {
    fn apply(self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self {
            Activation::Relu => x.relu(ctx),
            Activation::Gelu => x.gelu(ctx),
            Activation::GeluTanh => x.gelu_tanh(ctx),
            Activation::GeluSigmoid => x.gelu_sigmoid(ctx),
            Activation::Silu => x.silu(ctx),
        }
    }
}

/// The two layers of a transformer block that see each position on its own:
/// `y = W2 f(W1 x + b1) + b2`, with `f` GELU unless it is set otherwise.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{FeedForward, Forward, Init}};
/// let layer = FeedForward::new(8, 32, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([2, 5, 8])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 5, 8]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct FeedForward {
    #[module(config)]
    activation: Activation,
    /// `embed_dim` to `hidden_dim`.
    pub linear1: Linear,
    /// `hidden_dim` to `embed_dim`.
    pub linear2: Linear,
}

impl FeedForward {
    /// Layers from `embed_dim` to `hidden_dim` and back.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(embed_dim: usize, hidden_dim: usize, init: &mut Init) -> Result<FeedForward> {
        Ok(FeedForward {
            activation: Activation::default(),
            linear1: Linear::new(embed_dim, hidden_dim, init)?,
            linear2: Linear::new(hidden_dim, embed_dim, init)?,
        })
    }

    /// The same layers with another function between them.
    pub fn with_activation(self, activation: Activation) -> FeedForward {
        FeedForward { activation, ..self }
    }
}

impl Forward for FeedForward {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.linear1.forward(input, ctx)?;
        self.linear2.forward(&self.activation.apply(&hidden, ctx)?, ctx)
    }
}

/// The gated form (Shazeer, 2020): `y = D (silu(G x) * (U x))`, without biases.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Init, SwiGlu}};
/// let layer = SwiGlu::new(8, 24, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([2, 5, 8])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 5, 8]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct SwiGlu {
    /// `G`, `embed_dim` to `hidden_dim`.
    pub gate_proj: Linear,
    /// `U`, `embed_dim` to `hidden_dim`.
    pub up_proj: Linear,
    /// `D`, `hidden_dim` to `embed_dim`.
    pub down_proj: Linear,
}

impl SwiGlu {
    /// Layers from `embed_dim` to `hidden_dim` and back.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for impossible sizes.
    pub fn new(embed_dim: usize, hidden_dim: usize, init: &mut Init) -> Result<SwiGlu> {
        Ok(SwiGlu {
            gate_proj: Linear::without_bias(embed_dim, hidden_dim, init)?,
            up_proj: Linear::without_bias(embed_dim, hidden_dim, init)?,
            down_proj: Linear::without_bias(hidden_dim, embed_dim, init)?,
        })
    }
}

impl Forward for SwiGlu {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let gate = self.gate_proj.forward(input, ctx)?.silu(ctx)?;
        let gated = gate.mul(&self.up_proj.forward(input, ctx)?, ctx)?;
        self.down_proj.forward(&gated, ctx)
    }
}
