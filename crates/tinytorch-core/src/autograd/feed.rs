//! Tensors from outside as inputs of a pass.

use super::{Ctx, Var};
use crate::tensor::Tensor;

/// What a model is fed from outside: a tensor, or several side by side.
///
/// It connects tensors with what the model's `forward` takes, a [`Var`] or a tuple of them, so that
/// whoever compiles or measures a model need not know how many inputs it has.
///
/// ```
/// use tinytorch_core::{Tensor, autograd::{Ctx, Feed}};
/// let pair = (Tensor::ones([2, 3])?, Tensor::zeros([2])?);
/// assert_eq!(pair.tensors().len(), 2);
/// let (first, second) = pair.enter(&mut Ctx::eval());
/// assert_eq!((first.shape().len(), second.shape().len()), (6, 2));
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
pub trait Feed {
    /// What `forward` takes.
    type Input;

    /// The tensors, in the order in which a pass meets them.
    fn tensors(&self) -> Vec<&Tensor>;

    /// The tensors as the inputs of a pass.
    fn enter(&self, ctx: &mut Ctx<'_>) -> Self::Input;
}

impl Feed for Tensor {
    type Input = Var;

    fn tensors(&self) -> Vec<&Tensor> {
        vec![self]
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> Var {
        ctx.input(self)
    }
}

impl Feed for Vec<Tensor> {
    type Input = Vec<Var>;

    fn tensors(&self) -> Vec<&Tensor> {
        self.iter().collect()
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> Vec<Var> {
        self.iter().map(|tensor| ctx.input(tensor)).collect()
    }
}

impl Feed for (Tensor, Tensor, Tensor) {
    type Input = (Var, Var, Var);

    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.0, &self.1, &self.2]
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> (Var, Var, Var) {
        (ctx.input(&self.0), ctx.input(&self.1), ctx.input(&self.2))
    }
}

impl Feed for (Tensor, Tensor) {
    type Input = (Var, Var);

    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.0, &self.1]
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> (Var, Var) {
        (ctx.input(&self.0), ctx.input(&self.1))
    }
}
