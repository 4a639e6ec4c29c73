//! Images to rows.

use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::tensor::TensorError;

/// `[batch, a, b, ..]` becomes `[batch, a b ..]`: images for a fully connected layer.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Flatten, Forward}};
/// let y = Flatten.forward(&Tensor::ones([5, 3, 8, 8])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [5, 192]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct Flatten;

impl Forward for Flatten {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let shape = *input.shape();
        if shape.rank() < 2 {
            let expected = "a batch and at least one more dimension are needed".into();
            return Err(TensorError::Shape { op: "flatten", shape, expected }.into());
        }
        input.flatten(1, shape.rank() - 1, ctx)
    }
}
