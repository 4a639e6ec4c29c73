//! The same elements in another order.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Known, Properties, Sizes, View, ViewMut, Viewed, for_dtype, known,
};
use crate::tensor::{Dtype, IntoShape, MAX_RANK, Shape, Tensor, TensorError, view};
use std::ops::Range;

/// Views: the elements of the input, some of them, or all of them repeatedly, in another order. The
/// gradient goes back the same way; what was left out gets 0, and what was repeated the sum.
#[derive(Clone, Debug)]
pub enum Rearrange {
    /// The axes in another order: axis `i` of the output is axis `order[i]` of the input.
    Permute(Vec<usize>),
    /// Part of an axis.
    Slice {
        /// The axis.
        axis: usize,
        /// The entries that stay.
        range: Range<usize>,
    },
    /// Axes of size 1 repeated, and missing ones in front, to this shape.
    Broadcast(Shape),
}

impl Rearrange {
    /// The strides and the offset with which a contiguous input of this shape is read.
    fn layout(&self, input: &Shape) -> ([usize; MAX_RANK], usize) {
        let dense = input.strides();
        match self {
            Rearrange::Permute(order) => {
                let mut strides = [0; MAX_RANK];
                for (to, &from) in strides.iter_mut().zip(order) {
                    *to = dense[from];
                }
                (strides, 0)
            }
            Rearrange::Slice { axis, range } => (dense, range.start * dense[*axis]),
            Rearrange::Broadcast(shape) => (view::stretched_strides(input, shape), 0),
        }
    }
}

impl Rearrange {
    fn copy<T: Viewed>(&self, x: &View<'_>, out: &mut [T]) -> Result<()> {
        let shape = self.shape(&[x.shape])?;
        let (strides, offset) = self.layout(&x.shape);
        view::copy_strided(&shape, &strides, offset, x.values()?, out);
        Ok(())
    }
}

impl Compute for Rearrange {
    fn name(&self) -> &'static str {
        match self {
            Rearrange::Permute(_) => "permute",
            Rearrange::Slice { .. } => "slice",
            Rearrange::Broadcast(_) => "broadcast_to",
        }
    }

    fn properties(&self) -> Properties {
        let sizes = match self {
            Rearrange::Permute(_) => Sizes::Follow,
            Rearrange::Slice { .. } => Sizes::Some,
            Rearrange::Broadcast(_) => Sizes::All,
        };
        let keeps_samples_apart = match self {
            Rearrange::Permute(order) => order.first() == Some(&0),
            Rearrange::Slice { axis, .. } => *axis > 0,
            Rearrange::Broadcast(_) => false,
        };
        Properties { sizes, keeps_samples_apart, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        match self {
            Rearrange::Permute(order) => view::permuted(&inputs[0], order),
            Rearrange::Slice { axis, range } => view::sliced(&inputs[0], *axis, range),
            Rearrange::Broadcast(shape) => view::stretched(&inputs[0], shape),
        }
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        self.copy(&inputs[0], out)
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
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        for_dtype!(x.dtype(), T => self.copy(x, output.values::<T>()?))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Exec) -> Result<Tensor> {
        match self {
            Rearrange::Permute(order) => inputs[0].permute(order),
            Rearrange::Slice { axis, range } => inputs[0].slice(*axis, range.clone()),
            Rearrange::Broadcast(shape) => inputs[0].broadcast_to(*shape),
        }
    }
}

impl Op for Rearrange {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = saved.shape(0);
        let back = match self {
            Rearrange::Permute(order) => {
                let mut inverse = vec![0; order.len()];
                order.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
                grad.permute(&inverse)?
            }
            Rearrange::Slice { axis, range } => embedded(grad, shape, *axis, range.start)?,
            Rearrange::Broadcast(_) => grad.sum_to(shape)?,
        };
        Ok(vec![Some(back)])
    }
}

/// Zeros of `shape` with `part` at `start` of `axis`.
fn embedded(part: &Tensor, shape: &Shape, axis: usize, start: usize) -> Result<Tensor> {
    let inner: usize = shape[axis + 1..].iter().product();
    let (from, to) = (part.shape()[axis] * inner, shape[axis] * inner);
    let mut out = Tensor::zeros(*shape)?;
    let dense = part.contiguous()?;
    if from > 0 {
        let rows = out.as_mut_slice::<f32>()?.chunks_exact_mut(to);
        for (row, values) in rows.zip(dense.as_slice::<f32>()?.chunks_exact(from)) {
            row[start * inner..][..from].copy_from_slice(values);
        }
    }
    Ok(out)
}

impl Var {
    /// The axes in another order: axis `i` of the result is axis `order[i]` of this value.
    ///
    /// # Errors
    /// [`TensorError::Shape`] if `order` does not name every axis once.
    pub fn permute(&self, order: &[usize], ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Rearrange::Permute(order.to_vec()), &[self])
    }

    /// Two axes exchanged.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn transpose(&self, a: usize, b: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        let shape = *self.shape();
        if let Some(axis) = [a, b].into_iter().find(|&axis| axis >= shape.rank()) {
            return Err(TensorError::Axis { op: "transpose", axis, shape }.into());
        }
        let mut order: Vec<usize> = (0..shape.rank()).collect();
        order.swap(a, b);
        self.permute(&order, ctx)
    }

    /// The entries `range` of one axis. A traced model keeps the range, whatever its input's length.
    ///
    /// # Errors
    /// [`TensorError::Axis`] or [`TensorError::Range`].
    pub fn slice(&self, axis: usize, range: Range<usize>, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Rearrange::Slice { axis, range }, &[self])
    }

    /// Stretched to a larger shape by repeating axes of size 1. A traced model keeps the shape,
    /// whatever its input's; arithmetic broadcasts without this.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if this shape does not broadcast to exactly `shape`.
    pub fn broadcast_to(&self, shape: impl IntoShape, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Rearrange::Broadcast(shape.into_shape()?), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn randn(shape: [usize; 3]) -> [Tensor; 1] {
        [Tensor::randn(shape, 1.0, &mut Rng::seed(1)).unwrap()]
    }

    #[test]
    fn gradients() {
        let x = randn([2, 3, 4]);
        gradcheck(|v, ctx| v[0].permute(&[2, 0, 1], ctx), &x, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].transpose(0, 2, ctx), &x, 1e-3).unwrap();
        for axis in 0..3 {
            gradcheck(|v, ctx| v[0].slice(axis, 1..2, ctx), &x, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].slice(axis, 0..0, ctx), &x, 1e-3).unwrap();
        }
        let narrow = randn([2, 1, 3]);
        gradcheck(|v, ctx| v[0].broadcast_to([2, 2, 4, 3], ctx), &narrow, 1e-3).unwrap();
    }

    #[test]
    fn running_copies_what_the_view_shows() {
        let [x] = randn([2, 3, 4]);
        let [narrow] = randn([2, 1, 3]);
        let all = [
            (Rearrange::Permute(vec![1, 2, 0]), &x),
            (Rearrange::Slice { axis: 1, range: 1..3 }, &x),
            (Rearrange::Broadcast(Shape::new(&[4, 2, 5, 3]).unwrap()), &narrow),
        ];
        for (op, x) in all {
            let mut exec = Exec::new(tinytorch_kernels::Isa::active());
            let view = op.forward(&[x], &mut exec).unwrap();
            let mut out = vec![0.0; view.len()];
            op.run(&[View::of(x).unwrap()], &mut out, &mut exec).unwrap();
            assert_eq!(out, view.to_vec::<f32>().unwrap(), "{op:?}");
            assert!(view.shares_storage(x));
        }
    }

    #[test]
    fn axes_and_ranges_outside_the_shape_are_errors() {
        let [x] = randn([2, 3, 4]).map(Var::from);
        let mut ctx = Ctx::eval();
        assert!(x.transpose(0, 3, &mut ctx).is_err());
        assert!(x.permute(&[0, 1], &mut ctx).is_err());
        assert!(x.slice(1, 2..4, &mut ctx).is_err());
        assert!(x.slice(3, 0..1, &mut ctx).is_err());
        assert!(x.broadcast_to([3, 4], &mut ctx).is_err());
    }
}
