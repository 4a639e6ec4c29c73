//! The same elements in another shape.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, Properties, Sizes, ViewMut, known};
use crate::tensor::{Dtype, IntoShape, Shape, Tensor, TensorError, view};

/// The same elements in another shape. All but `Fixed` say which axes change and leave the others
/// open, so a traced model takes any batch size.
#[derive(Clone, Debug)]
pub enum Reshape {
    /// Axes `start..=end` merged into one.
    Flatten {
        /// The first axis.
        start: usize,
        /// The last axis.
        end: usize,
    },
    /// An axis split into several.
    Unflatten {
        /// The axis.
        axis: usize,
        /// The sizes of the axes in its place.
        sizes: Vec<usize>,
    },
    /// Without an axis of size 1.
    Squeeze {
        /// The axis.
        axis: usize,
    },
    /// With an axis of size 1.
    Unsqueeze {
        /// Before which axis it goes.
        axis: usize,
    },
    /// Another shape of the same size.
    Fixed(Shape),
}

impl Compute for Reshape {
    fn name(&self) -> &'static str {
        match self {
            Reshape::Flatten { .. } => "flatten",
            Reshape::Unflatten { .. } => "unflatten",
            Reshape::Squeeze { .. } => "squeeze",
            Reshape::Unsqueeze { .. } => "unsqueeze",
            Reshape::Fixed(_) => "reshape",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        match self {
            Reshape::Flatten { start, end } => view::flattened(&inputs[0], *start, *end),
            Reshape::Unflatten { axis, sizes } => view::unflattened(&inputs[0], *axis, sizes),
            Reshape::Squeeze { axis } => view::squeezed(&inputs[0], *axis),
            Reshape::Unsqueeze { axis } => view::unsqueezed(&inputs[0], *axis),
            Reshape::Fixed(shape) if shape.len() == inputs[0].len() => Ok(*shape),
            Reshape::Fixed(shape) => {
                Err(TensorError::Length { len: inputs[0].len(), shape: *shape }.into())
            }
        }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        Ok(vec![(self.shape(&[x.shape])?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        moves::copy(inputs.need(0, self.name())?, outputs, self.name())
    }

    fn properties(&self) -> Properties {
        let sizes = match self {
            Reshape::Flatten { .. } | Reshape::Squeeze { .. } | Reshape::Unsqueeze { .. } => {
                Sizes::Follow
            }
            Reshape::Unflatten { .. } => Sizes::Some,
            Reshape::Fixed(_) => Sizes::All,
        };
        let reshapes = Properties { reshapes: true, sizes, ..Properties::default() };
        Properties { selects: true, keeps_range: true, ..reshapes }
    }

    fn cost(&self, _: &[Shape], _: &Shape) -> Cost {
        Cost::default()
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Exec) -> Result<Tensor> {
        inputs[0].reshape(self.shape(&[*inputs[0].shape()])?)
    }
}

impl Op for Reshape {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.reshape(*saved.shape(0))?)])
    }
}

impl Var {
    /// Axes `start..=end` merged into one.
    ///
    /// # Errors
    /// [`TensorError::Axis`] if `end` is not an axis or lies before `start`.
    pub fn flatten(&self, start: usize, end: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Reshape::Flatten { start, end }, &[self])
    }

    /// Axis `axis` split into `sizes`.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Length`] if the sizes do not multiply to the axis.
    pub fn unflatten(&self, axis: usize, sizes: &[usize], ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Reshape::Unflatten { axis, sizes: sizes.to_vec() }, &[self])
    }

    /// Without an axis of size 1.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Shape`] if the axis has another size.
    pub fn squeeze(&self, axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Reshape::Squeeze { axis }, &[self])
    }

    /// With an axis of size 1 inserted before `axis`.
    ///
    /// # Errors
    /// [`TensorError::Axis`] if `axis` is beyond the rank.
    pub fn unsqueeze(&self, axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Reshape::Unsqueeze { axis }, &[self])
    }

    /// The same elements in another shape of the same size. Every dimension is fixed, the batch
    /// too: in a model that is to be traced, use [`Var::flatten`] and [`Var::unflatten`].
    ///
    /// # Errors
    /// [`TensorError::Length`] if the sizes differ.
    pub fn reshape(&self, shape: impl IntoShape, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Reshape::Fixed(shape.into_shape()?), &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Var, gradcheck};
    use crate::{Rng, Tensor};

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| v[0].flatten(1, 2, ctx), &x, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].unflatten(2, &[2, 2], ctx), &x, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].reshape([4, 6], ctx), &x, 1e-3).unwrap();
        let there_and_back = |v: &[Var], ctx: &mut Ctx<'_>| v[0].unsqueeze(1, ctx)?.squeeze(1, ctx);
        gradcheck(there_and_back, &x, 1e-3).unwrap();
    }
}
