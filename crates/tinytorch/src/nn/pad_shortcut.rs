//! Shortcuts without parameters.

use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};

/// A residual shortcut without parameters past layers that stride and widen (He et al., 2015, option A):
/// every `stride`-th row and column, between zero channels.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, PadShortcut}};
/// let images = Tensor::ones([1, 16, 32, 32])?;
/// let y = PadShortcut::new(2, 32).forward(&images.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [1, 32, 16, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct PadShortcut {
    #[module(config)]
    stride: usize,
    #[module(config)]
    out_channels: usize,
}

impl PadShortcut {
    /// A shortcut to images of `out_channels`, one pixel for every `stride` rows and columns.
    pub fn new(stride: usize, out_channels: usize) -> PadShortcut {
        PadShortcut { stride, out_channels }
    }
}

impl Forward for PadShortcut {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.pad_shortcut(self.stride, self.out_channels, ctx)
    }
}
