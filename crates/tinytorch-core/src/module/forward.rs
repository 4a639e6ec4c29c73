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
}

impl<X: ?Sized, M: Forward<X> + ?Sized> Forward<X> for Box<M> {
    type Output = M::Output;

    fn forward(&self, input: &X, ctx: &mut Ctx<'_>) -> Result<M::Output> {
        (**self).forward(input, ctx)
    }
}
