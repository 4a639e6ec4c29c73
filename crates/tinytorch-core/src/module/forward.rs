//! What a module computes.

use super::Module;
use crate::Result;
use crate::autograd::{Ctx, Var};

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

/// What a module gives: one value or several, in a fixed order.
pub trait Outputs {
    /// The values in their order.
    fn vars(&self) -> Vec<&Var>;
}

impl Outputs for Var {
    fn vars(&self) -> Vec<&Var> {
        vec![self]
    }
}

impl Outputs for Vec<Var> {
    fn vars(&self) -> Vec<&Var> {
        self.iter().collect()
    }
}

impl<A: Outputs, B: Outputs> Outputs for (A, B) {
    fn vars(&self) -> Vec<&Var> {
        [self.0.vars(), self.1.vars()].concat()
    }
}

impl<A: Outputs, B: Outputs, C: Outputs> Outputs for (A, B, C) {
    fn vars(&self) -> Vec<&Var> {
        [self.0.vars(), self.1.vars(), self.2.vars()].concat()
    }
}
