//! Element by element: maps, broadcasting arithmetic, in-place accumulation.

use super::view::{for_each_row, stretched_strides};
use super::{Shape, Tensor, TensorError};
use crate::Result;
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::{functions, zip_in_place};

/// `f` of every pair of elements of two contiguous operands that broadcast to `shape`.
pub(crate) fn zip_into(
    shape: &Shape,
    [(a_shape, a), (b_shape, b)]: [(&Shape, &[f32]); 2],
    f: impl Fn(f32, f32) -> f32,
    out: &mut [f32],
) {
    if a_shape == b_shape {
        for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out = f(a, b);
        }
        return;
    }
    let stretched = [stretched_strides(a_shape, shape), stretched_strides(b_shape, shape)];
    let mut rows = out.chunks_exact_mut(shape.last_dim().max(1));
    for_each_row(shape, [(&stretched[0], 0), (&stretched[1], 0)], |[i, j], [si, sj], n| {
        let Some(row) = rows.next() else { return };
        match (si, sj) {
            (1, 1) => {
                for (out, (&a, &b)) in row.iter_mut().zip(a[i..i + n].iter().zip(&b[j..j + n])) {
                    *out = f(a, b);
                }
            }
            (1, 0) => row.iter_mut().zip(&a[i..i + n]).for_each(|(out, &a)| *out = f(a, b[j])),
            (0, 1) => row.iter_mut().zip(&b[j..j + n]).for_each(|(out, &b)| *out = f(a[i], b)),
            _ => row.iter_mut().enumerate().for_each(|(k, o)| *o = f(a[i + k * si], b[j + k * sj])),
        }
    });
}

impl Tensor {
    /// `f` of every element.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] unless the tensor is f32.
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Result<Tensor> {
        let dense = self.contiguous()?;
        Tensor::from_vec(dense.as_slice::<f32>()?.iter().map(|&x| f(x)).collect(), self.shape)
    }

    /// `f` of every pair of elements, after broadcasting.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes do not broadcast, [`TensorError::Dtype`] unless both
    /// are f32. `op` names the operation in the message.
    pub fn zip(
        &self,
        other: &Tensor,
        op: &'static str,
        f: impl Fn(f32, f32) -> f32,
    ) -> Result<Tensor> {
        let shape = self.shape.broadcast(&other.shape, op)?;
        let (a, b) = (self.contiguous()?, other.contiguous()?);
        let mut out = vec![0f32; shape.len()];
        let operands = [(&self.shape, a.as_slice()?), (&other.shape, b.as_slice()?)];
        zip_into(&shape, operands, f, &mut out);
        Tensor::from_vec(out, shape)
    }

    /// Sum, broadcasting.
    ///
    /// # Errors
    /// As [`Tensor::zip`].
    pub fn add(&self, other: &Tensor) -> Result<Tensor> {
        self.zip(other, "add", |a, b| a + b)
    }

    /// Difference, broadcasting.
    ///
    /// # Errors
    /// As [`Tensor::zip`].
    pub fn sub(&self, other: &Tensor) -> Result<Tensor> {
        self.zip(other, "sub", |a, b| a - b)
    }

    /// Product, broadcasting.
    ///
    /// # Errors
    /// As [`Tensor::zip`].
    pub fn mul(&self, other: &Tensor) -> Result<Tensor> {
        self.zip(other, "mul", |a, b| a * b)
    }

    /// Quotient, broadcasting.
    ///
    /// # Errors
    /// As [`Tensor::zip`].
    pub fn div(&self, other: &Tensor) -> Result<Tensor> {
        self.zip(other, "div", |a, b| a / b)
    }

    /// Every element times `factor`.
    ///
    /// # Errors
    /// As [`Tensor::map`].
    pub fn scale(&self, factor: f32) -> Result<Tensor> {
        self.map(|x| x * factor)
    }

    /// Adds `other`, of the same shape, in place. It runs on [`Isa::active`]; sums of two are the same on
    /// every set.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes differ.
    pub fn add_assign(&mut self, other: &Tensor) -> Result<()> {
        if self.shape != other.shape {
            return Err(TensorError::Mismatch {
                op: "add_assign",
                left: self.shape,
                right: other.shape,
                expected: "the shapes must be equal",
            }
            .into());
        }
        let dense = other.contiguous()?;
        let values = dense.as_slice::<f32>()?;
        zip_in_place(Isa::active(), functions::Add, self.as_mut_slice()?, values);
        Ok(())
    }

    /// Summed down to a shape that broadcasts to this one: the derivative of broadcasting.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if `shape` does not broadcast to this tensor's shape.
    pub fn sum_to(&self, shape: &Shape) -> Result<Tensor> {
        if self.shape == *shape {
            return Ok(self.clone());
        }
        let mut out = Tensor::zeros(*shape)?;
        let target = out.broadcast_to(self.shape)?;
        let (strides, offset) = (target.strides, target.offset);
        drop(target);
        let values = self.storage::<f32>()?.as_slice();
        let sums = out.as_mut_slice::<f32>()?;
        let operands = [(&self.strides, self.offset), (&strides, offset)];
        for_each_row(&self.shape, operands, |[i, j], [si, sj], n| {
            if sj == 0 {
                sums[j] += (0..n).map(|k| values[i + k * si]).sum::<f32>();
            } else {
                for k in 0..n {
                    sums[j + k * sj] += values[i + k * si];
                }
            }
        });
        Ok(out)
    }

    /// Whether all elements are within `atol + rtol * |other|` of each other; NaN never is.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes differ.
    pub fn allclose(&self, other: &Tensor, rtol: f32, atol: f32) -> Result<bool> {
        let close = |a: f32, b: f32| f32::from((a - b).abs() <= atol + rtol * b.abs());
        let near = self.zip(other, "allclose", close)?;
        Ok(near.as_slice::<f32>()?.iter().all(|&v| v == 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn broadcasting_agrees_with_indexing(m in 1usize..5, n in 1usize..5, left in 0usize..4, right in 0usize..4) {
            let pick = |k: usize| [[m, n], [1, n], [m, 1], [1, 1]][k];
            let fill = |s: [usize; 2], k: f32| {
                Tensor::from_vec((0..s[0] * s[1]).map(|i| i as f32 * k + 1.0).collect(), s).unwrap()
            };
            let (a, b) = (fill(pick(left), 1.0), fill(pick(right), 10.0));
            let at = |t: &Tensor, i: usize, j: usize| {
                let s = t.shape();
                t.as_slice::<f32>().unwrap()[(i % s[0]) * s[1] + j % s[1]]
            };
            let sum = a.sub(&b).unwrap();
            for i in 0..sum.shape()[0] {
                for j in 0..sum.shape()[1] {
                    prop_assert_eq!(at(&sum, i, j), at(&a, i, j) - at(&b, i, j));
                }
            }
        }

        #[test]
        fn sum_to_is_the_adjoint_of_broadcast_to(m in 1usize..5, n in 1usize..5, which in 0usize..4) {
            let shape = [[m, n], [1, n], [m, 1], [1, 1]][which];
            let mut rng = crate::Rng::seed((m * 100 + n) as u64);
            let x = Tensor::randn(shape, 1.0, &mut rng).unwrap();
            let g = Tensor::randn([m, n], 1.0, &mut rng).unwrap();
            let dot = |a: &Tensor, b: &Tensor| a.mul(b).unwrap().to_vec::<f32>().unwrap().iter().sum::<f32>();
            let left = dot(&x.broadcast_to([m, n]).unwrap(), &g);
            let right = dot(&x, &g.sum_to(x.shape()).unwrap());
            prop_assert!((left - right).abs() < 1e-4);
        }
    }

    #[test]
    fn strided_operands_are_read_in_their_order() {
        let a = Tensor::arange(6).unwrap().reshape([2, 3]).unwrap();
        let b = a.transpose(0, 1).unwrap().contiguous().unwrap().transpose(0, 1).unwrap();
        assert_eq!(a.sub(&b).unwrap().to_vec::<f32>().unwrap(), [0.0; 6]);
    }

    #[test]
    fn mismatched_shapes_are_named() {
        let message = Tensor::ones([2, 3]).unwrap().add(&Tensor::ones([4]).unwrap()).unwrap_err();
        assert!(message.to_string().contains("[2, 3] and [4]"), "{message}");
    }
}
