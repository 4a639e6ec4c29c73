//! Values in parts.

use super::OpError;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Known, Properties, Sizes, View, ViewMut, Viewed, for_dtype, known,
};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// A value of any type in parts along an axis, each of which is an output. The gradients of the parts stand
/// side by side in the gradient of the whole.
#[derive(Clone, Debug)]
pub struct Split {
    /// The axis.
    pub axis: usize,
    /// How it is divided.
    pub parts: Parts,
}

/// How an axis is divided.
#[derive(Clone, Debug)]
pub enum Parts {
    /// Into parts of these sizes.
    Sizes(Vec<usize>),
    /// Into so many parts of equal size, of which the last may be smaller: it follows the input's size.
    Equal(usize),
}

impl Split {
    /// Size of part `i` of an axis of `len` entries.
    fn part(&self, i: usize, len: usize) -> usize {
        match &self.parts {
            Parts::Sizes(sizes) => sizes.get(i).copied().unwrap_or(0),
            Parts::Equal(count) => {
                let size = len.div_ceil((*count).max(1));
                len.saturating_sub(size.saturating_mul(i)).min(size)
            }
        }
    }

    fn check(&self, shape: &Shape) -> Result<()> {
        let (op, axis) = (self.name(), self.axis);
        let len = *shape.get(axis).ok_or(TensorError::Axis { op, axis, shape: *shape })?;
        let sizes: Vec<usize> = (0..self.output_count()).map(|i| self.part(i, len)).collect();
        let sum = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
        match sum == Some(len) {
            true => Ok(()),
            false => Err(OpError::Parts { sizes, axis, shape: *shape }.into()),
        }
    }
}

impl Compute for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn properties(&self) -> Properties {
        let sizes = match &self.parts {
            Parts::Sizes(_) => Sizes::Some,
            Parts::Equal(_) => Sizes::Follow,
        };
        Properties { sizes, ..Properties::default() }
    }

    fn output_count(&self) -> usize {
        match &self.parts {
            Parts::Sizes(sizes) => sizes.len(),
            Parts::Equal(count) => *count,
        }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        self.check(&x.shape)?;
        let part = |i: usize| x.shape.with(self.axis, self.part(i, x.shape[self.axis]));
        Ok((0..self.output_count()).map(|i| (part(i), x.dtype)).collect())
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(axis: usize, x: &View<'_>, outputs: &mut [ViewMut<'_>]) -> Result<()> {
            let values = x.values::<T>()?;
            let run = |shape: &Shape| shape[axis..].iter().product::<usize>();
            let (total, mut start) = (run(&x.shape), 0);
            for output in outputs {
                let len = run(&output.shape);
                if len > 0 {
                    let rows = output.values::<T>()?.chunks_exact_mut(len);
                    rows.zip(values.chunks_exact(total))
                        .for_each(|(part, row)| part.copy_from_slice(&row[start..start + len]));
                }
                start += len;
            }
            Ok(())
        }
        let x = inputs.need(0, self.name())?;
        for_dtype!(x.dtype(), T => of::<T>(self.axis, x, outputs))
    }

    fn cost(&self, inputs: &[Shape], _: &Shape) -> Cost {
        let bytes = 4 * inputs.iter().map(|shape| shape.len() as u64).sum::<u64>();
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Split {
    fn backward_many(
        &self,
        saved: &Saved,
        grads: &[Option<Tensor>],
        _: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let len = shape[self.axis];
        let zeros = |i: usize| Tensor::zeros(shape.with(self.axis, self.part(i, len)));
        let parts = grads.iter().enumerate();
        let parts = parts.map(|(i, grad)| grad.clone().map_or_else(|| zeros(i), Ok));
        let whole = Tensor::cat::<f32>(&parts.collect::<Result<Vec<_>>>()?, self.axis)?;
        Ok(vec![Some(whole)])
    }
}

impl Var {
    /// The value in parts of these sizes along `axis`.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`OpError::Parts`] if the sizes do not add up to the axis.
    pub fn split(&self, axis: usize, sizes: &[usize], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let parts = Parts::Sizes(sizes.to_vec());
        ctx.apply_many(Split { axis, parts }, &[Some(self)])
    }

    /// The value in so many parts of equal size along `axis`, of which the last may be smaller. A traced
    /// model follows its input's size.
    ///
    /// # Errors
    /// As [`Var::split`].
    pub fn chunk(&self, axis: usize, count: usize, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        ctx.apply_many(Split { axis, parts: Parts::Equal(count) }, &[Some(self)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 5, 2], 1.0, &mut Rng::seed(1)).unwrap()];
        // The middle part has no gradient, and the others are weighted differently.
        let parts = |v: &[Var], ctx: &mut Ctx<'_>| {
            let parts = v[0].split(1, &[2, 1, 2], ctx)?;
            parts[0].mul(&parts[2], ctx)?.add(&parts[0], ctx)
        };
        gradcheck(parts, &x, 1e-3).unwrap();
        let chunks = |v: &[Var], ctx: &mut Ctx<'_>| {
            let chunks = v[0].chunk(1, 2, ctx)?;
            chunks[1].mul_scalar(2.0, ctx)
        };
        gradcheck(chunks, &x, 1e-3).unwrap();
    }

    #[test]
    fn parts_make_up_the_whole() {
        let mut ctx = Ctx::eval();
        let x = Var::from(Tensor::from_vec((0..10i64).collect(), [2, 5]).unwrap());
        let parts = x.chunk(1, 3, &mut ctx).unwrap();
        let sizes: Vec<usize> = parts.iter().map(|part| part.shape()[1]).collect();
        assert_eq!(sizes, [2, 2, 1]);
        let parts: Vec<Tensor> = parts.into_iter().map(Var::into_value).collect();
        let whole = Tensor::cat::<i64>(&parts, 1).unwrap();
        assert_eq!(whole.to_vec::<i64>().unwrap(), x.value().to_vec::<i64>().unwrap());
        assert!(x.split(1, &[2, 2], &mut ctx).unwrap_err().to_string().contains("[2, 2]"));
        assert!(x.split(2, &[5], &mut ctx).is_err());
        assert!(x.split(1, &[usize::MAX, 6], &mut ctx).is_err());
        assert!(x.chunk(1, 0, &mut ctx).is_err());
    }
}
