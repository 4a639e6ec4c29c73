//! Reductions over axes; the order of additions is fixed by the shape alone.

use super::{Shape, Tensor, TensorError};
use crate::Result;
use tinytorch_kernels::Isa;
pub(crate) use tinytorch_kernels::f32::reduce::sum;

/// Folds the entries along `axis` of a contiguous buffer into `out`, which holds the initial value.
pub(crate) fn fold_axis(
    shape: &Shape,
    axis: usize,
    values: &[f32],
    fold: impl Fn(f32, f32) -> f32,
    out: &mut [f32],
) {
    let (len, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    if inner == 0 {
        return;
    }
    for (o, row) in out.chunks_exact_mut(inner).enumerate() {
        for r in 0..len {
            let from = &values[(o * len + r) * inner..][..inner];
            for (acc, &v) in row.iter_mut().zip(from) {
                *acc = fold(*acc, v);
            }
        }
    }
}

/// An error unless `axis` has entries.
pub(crate) fn require_entries(op: &'static str, shape: &Shape, axis: usize) -> Result<()> {
    if shape[axis] > 0 {
        return Ok(());
    }
    let expected = format!("axis {axis} must have entries");
    Err(TensorError::Shape { op, shape: *shape, expected }.into())
}

/// `shape` without `axis`, or with it kept at size 1.
pub(crate) fn reduced(op: &'static str, shape: &Shape, axis: usize, keep: bool) -> Result<Shape> {
    if axis >= shape.rank() {
        return Err(TensorError::Axis { op, axis, shape: *shape }.into());
    }
    if keep {
        return Ok(shape.with(axis, 1));
    }
    let mut dims = shape.to_vec();
    dims.remove(axis);
    Ok(Shape::new(&dims)?)
}

impl Tensor {
    /// `fold` of the entries along one axis.
    fn reduce(
        &self,
        op: &'static str,
        axis: usize,
        keep: bool,
        init: f32,
        fold: impl Fn(f32, f32) -> f32,
    ) -> Result<Tensor> {
        let shape = reduced(op, &self.shape, axis, keep)?;
        let dense = self.contiguous()?;
        let mut out = vec![init; shape.len()];
        fold_axis(&self.shape, axis, dense.as_slice()?, fold, &mut out);
        Tensor::from_vec(out, shape)
    }

    /// Sum over one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn sum_axis(&self, axis: usize, keep: bool) -> Result<Tensor> {
        self.reduce("sum", axis, keep, 0.0, |a, b| a + b)
    }

    /// Mean over one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Shape`] if the axis is empty.
    pub fn mean_axis(&self, axis: usize, keep: bool) -> Result<Tensor> {
        let sum = self.sum_axis(axis, keep)?;
        require_entries("mean", &self.shape, axis)?;
        sum.scale(1.0 / self.shape[axis] as f32)
    }

    /// Largest entry along one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Shape`] if the axis is empty.
    pub fn max_axis(&self, axis: usize, keep: bool) -> Result<Tensor> {
        let max = self.reduce("max", axis, keep, f32::NEG_INFINITY, f32::max)?;
        require_entries("max", &self.shape, axis)?;
        Ok(max)
    }

    /// Sum of all elements, in an order that their number alone decides, on [`Isa::active`].
    ///
    /// # Errors
    /// [`TensorError::Dtype`] unless the tensor is f32.
    pub fn sum(&self) -> Result<f32> {
        let dense = self.contiguous()?;
        Ok(sum(Isa::active(), dense.as_slice()?))
    }

    /// Mean of all elements.
    ///
    /// # Errors
    /// [`TensorError::Shape`] if there are none.
    pub fn mean(&self) -> Result<f32> {
        if self.is_empty() {
            let expected = "the mean of no elements is undefined".into();
            return Err(TensorError::Shape { op: "mean", shape: self.shape, expected }.into());
        }
        Ok(self.sum()? / self.len() as f32)
    }

    /// Index of the largest entry of each row of the last axis, the first of equals, as i64; NaN
    /// counts as smaller than any number.
    ///
    /// # Errors
    /// [`TensorError::Shape`] for a scalar or an empty last axis.
    pub fn argmax_last(&self) -> Result<Tensor> {
        if self.rank() == 0 || self.shape.last_dim() == 0 {
            let expected = "the last axis must have entries".into();
            return Err(TensorError::Shape { op: "argmax", shape: self.shape, expected }.into());
        }
        let dense = self.contiguous()?;
        let rows = dense.as_slice::<f32>()?.chunks_exact(self.shape.last_dim());
        let best = |row: &[f32]| {
            let mut at = 0;
            for (i, v) in row.iter().enumerate() {
                if *v > row[at] || row[at].is_nan() && !v.is_nan() {
                    at = i;
                }
            }
            at as i64
        };
        let shape = reduced("argmax", &self.shape, self.rank() - 1, false)?;
        Tensor::from_vec(rows.map(best).collect(), shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_axis_reduces_on_its_own() {
        let t = Tensor::arange(12).unwrap().reshape([2, 3, 2]).unwrap();
        let sum = |axis| t.sum_axis(axis, false).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(sum(0), [6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
        assert_eq!(sum(1), [6.0, 9.0, 24.0, 27.0]);
        assert_eq!(sum(2), [1.0, 5.0, 9.0, 13.0, 17.0, 21.0]);
        assert_eq!(t.max_axis(1, true).unwrap().shape().dims(), [2, 1, 2]);
        assert_eq!(t.mean().unwrap(), 5.5);
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_passes_over_nan() {
        let t = Tensor::from_vec(vec![1.0, 3.0, 3.0, f32::NAN, -1.0, -2.0], [2, 3]).unwrap();
        assert_eq!(t.argmax_last().unwrap().to_vec::<i64>().unwrap(), [1, 1]);
    }

    #[test]
    fn empty_reductions_are_errors() {
        let t = Tensor::zeros([2, 0]).unwrap();
        assert!(t.mean().is_err());
        assert!(t.max_axis(1, false).is_err());
        assert!(t.argmax_last().is_err());
        assert_eq!(t.sum().unwrap(), 0.0);
        assert!(t.sum_axis(2, false).is_err());
    }
}
