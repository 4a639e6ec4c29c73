//! What a module computes.

use super::Module;
use crate::Result;
use crate::autograd::{Ctx, Outputs, Var};

/// A module that computes: `X` is what it takes, a [`Var`] unless it says otherwise; several inputs are a
/// tuple.
pub trait Forward<X: ?Sized = Var>: Module {
    /// What it gives: a [`Var`], or several as a tuple or a list.
    type Output: Outputs;

    /// The output for an input.
    ///
    /// # Errors
    /// If the input does not fit the module.
    fn forward(&self, input: &X, ctx: &mut Ctx<'_>) -> Result<Self::Output>;

    /// [`Forward::forward`] of a whole model: an error names the layer in which the pass was. Layers call
    /// each other by `forward`, programs call models by `call`, as PyTorch's `model(x)` does more than
    /// `model.forward(x)`. It costs nothing unless there is an error.
    ///
    /// # Errors
    /// As [`Forward::forward`], within [`Error::InLayer`](crate::Error::InLayer).
    fn call(&self, input: &X, ctx: &mut Ctx<'_>) -> Result<Self::Output> {
        self.forward(input, ctx).map_err(|error| self.locate(error, ctx))
    }
}

impl<X: ?Sized, M: Forward<X> + ?Sized> Forward<X> for Box<M> {
    type Output = M::Output;

    fn forward(&self, input: &X, ctx: &mut Ctx<'_>) -> Result<M::Output> {
        (**self).forward(input, ctx)
    }
}
