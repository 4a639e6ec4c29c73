//! Entries that indices name.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// The entries of an axis that indices name, negative ones counted from the end, of values of any type:
/// `[.., axis, ..]` and indices `[..]` give `[.., indices.., ..]`. An entry's gradient is the sum over the
/// places that it went to.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
}

impl Gather {
    fn shape(self, x: &Shape, indices: &Shape) -> Result<Shape> {
        if self.axis >= x.rank() {
            return Err(TensorError::Axis { op: self.name(), axis: self.axis, shape: *x }.into());
        }
        Ok(Shape::new(&[&x[..self.axis], indices, &x[self.axis + 1..]].concat())?)
    }

    /// Calls `f(to, from)` with the offsets of every run of entries that stay together.
    fn for_each_run(
        self,
        x: &Shape,
        indices: &View<'_>,
        mut f: impl FnMut(usize, usize),
    ) -> Result<()> {
        let (len, inner) = (x[self.axis], x[self.axis + 1..].iter().product::<usize>());
        let (outer, count) = (x[..self.axis].iter().product::<usize>(), indices.shape.len());
        let mut visit = |place: usize, index: i64| -> Result<()> {
            let from = moves::position(index, len, self.name())?;
            (0..outer).for_each(|o| f((o * count + place) * inner, (o * len + from) * inner));
            Ok(())
        };
        match indices.dtype() {
            Dtype::I32 => {
                let mut indices = indices.values::<i32>()?.iter().enumerate();
                indices.try_for_each(|(place, &index)| visit(place, i64::from(index)))
            }
            _ => indices.i64()?.iter().enumerate().try_for_each(|(at, &index)| visit(at, index)),
        }
    }
}

impl Compute for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, indices) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        Ok(vec![(Gather::shape(*self, &x.shape, &indices.shape)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(
            op: Gather,
            x: &View<'_>,
            indices: &View<'_>,
            output: &mut ViewMut<'_>,
        ) -> Result<()> {
            let (values, out) = (x.values::<T>()?, output.values::<T>()?);
            let inner = x.shape[op.axis + 1..].iter().product::<usize>();
            op.for_each_run(&x.shape, indices, |to, from| {
                out[to..to + inner].copy_from_slice(&values[from..from + inner]);
            })
        }
        let (x, indices) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        for_dtype!(x.dtype(), T => of::<T>(*self, x, indices, output))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Gather {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (shape, indices) = (*saved.shape(0), saved.input(1)?.contiguous()?);
        let dense = grad.contiguous()?;
        let g = dense.as_slice::<f32>()?;
        let mut dx = vec![0f32; shape.len()];
        let inner = shape[self.axis + 1..].iter().product::<usize>();
        self.for_each_run(&shape, &View::of(&indices)?, |to, from| {
            dx[from..from + inner].iter_mut().zip(&g[to..]).for_each(|(dx, g)| *dx += g);
        })?;
        Ok(vec![Some(Tensor::from_vec(dx, shape)?), None])
    }
}

impl Var {
    /// The entries of `axis` that `indices` (i64 or i32) names, negative ones counted from the end:
    /// `[.., axis, ..]` gives `[.., indices.., ..]`.
    ///
    /// # Errors
    /// [`TensorError::Axis`], [`TensorError::Index`] for an index that names no entry,
    /// [`TensorError::Dtype`] unless the indices are integers.
    pub fn index_select(&self, axis: usize, indices: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Gather { axis }, &[self, indices])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let x = [Tensor::randn([3, 4, 2], 1.0, &mut Rng::seed(1)).unwrap()];
        let indices = Var::from(Tensor::from_vec(vec![1i64, -1, 1, 0], [2, 2]).unwrap());
        for axis in 0..2 {
            gradcheck(|v, ctx| v[0].index_select(axis, &indices, ctx), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn entries_of_any_type_are_named() {
        let mut ctx = Ctx::eval();
        let x = Var::from(Tensor::from_vec(vec![10i64, 11, 12, 13, 14, 15], [2, 3]).unwrap());
        let indices = Var::from(Tensor::from_vec(vec![2i32, -3], [2]).unwrap());
        let y = x.index_select(1, &indices, &mut ctx).unwrap();
        assert_eq!(y.value().to_vec::<i64>().unwrap(), [12, 10, 15, 13]);
        let one = Var::from(Tensor::from_vec(vec![1i64], []).unwrap());
        assert_eq!(x.index_select(0, &one, &mut ctx).unwrap().shape().dims(), [3]);
        for bad in [3i64, -4, i64::MIN] {
            let bad = Var::from(Tensor::from_vec(vec![bad], [1]).unwrap());
            let error = x.index_select(1, &bad, &mut ctx).unwrap_err();
            assert!(error.to_string().contains("outside 0..3"), "{error}");
        }
        assert!(x.index_select(2, &one, &mut ctx).is_err());
        assert!(x.index_select(0, &Tensor::scalar(1.0).into(), &mut ctx).is_err());
    }
}
