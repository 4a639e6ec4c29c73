//! Dropout as a layer.

use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Mode, Var};
use crate::ops::OpError;

/// In training, `y = 0` with probability `p`, else `x / (1 - p)`; in inference `y = x`. The default
/// drops nothing.
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::Ctx, nn::{Dropout, Forward}};
/// let y = Dropout::new(0.5)?.forward(&Tensor::ones([100])?.into(), &mut Ctx::train(Rng::seed(0)))?;
/// assert!(y.value().to_vec::<f32>()?.iter().all(|&v| v == 0.0 || v == 2.0));
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug, Default)]
pub struct Dropout {
    #[module(config)]
    p: f32,
}

impl Dropout {
    /// A layer that drops entries with probability `p`.
    ///
    /// # Errors
    /// [`OpError::Probability`] unless `p` lies between 0 and 1.
    pub fn new(p: f32) -> Result<Dropout> {
        if !(0.0..=1.0).contains(&p) {
            return Err(OpError::Probability { op: "dropout", value: p }.into());
        }
        Ok(Dropout { p })
    }

    /// Whether entries are dropped in this context.
    pub(super) fn drops(&self, ctx: &Ctx<'_>) -> bool {
        self.p > 0.0 && ctx.mode() == Mode::Train
    }
}

impl Forward for Dropout {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.dropout(self.p, ctx)
    }
}
