//! Matrix products in any batch shape.

use super::{MAX_RANK, Shape, Tensor, TensorError};
use crate::Result;
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::gemm::{BatchDim, Matrix, MatrixMut, Scaling, gemm_batched};

/// The shape of `a @ b`: the last two axes multiply, the others broadcast.
pub(crate) fn product_shape(a: &Shape, b: &Shape) -> Result<Shape> {
    let mismatch = |expected| TensorError::Mismatch { op: "matmul", left: *a, right: *b, expected };
    if a.rank() < 2 || b.rank() < 2 {
        return Err(mismatch("both need at least two dimensions").into());
    }
    let (m, k) = (a[a.rank() - 2], a.last_dim());
    let (k2, n) = (b[b.rank() - 2], b.last_dim());
    if k != k2 {
        return Err(mismatch("the first's columns must equal the second's rows").into());
    }
    let batch =
        Shape::new(&a[..a.rank() - 2])?.broadcast(&Shape::new(&b[..b.rank() - 2])?, "matmul")?;
    let rank = batch.rank() + 2;
    let mut dims = [0; MAX_RANK];
    dims[..rank - 2].copy_from_slice(&batch);
    dims[rank - 2..rank].copy_from_slice(&[m, n]);
    Ok(Shape::new(&dims[..rank])?)
}

impl Tensor {
    /// Matrix product over the last two axes, `[.., m, k] @ [.., k, n]`; the other axes broadcast.
    /// Transposed and sliced operands are read in place. It runs on [`Isa::active`]; ops run on the set of
    /// their pass.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes do not multiply.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.matmul_on(Isa::active(), other)
    }

    /// [`Tensor::matmul`] on an instruction set.
    pub(crate) fn matmul_on(&self, isa: Isa, other: &Tensor) -> Result<Tensor> {
        let shape = product_shape(&self.shape, &other.shape)?;
        let mut out = vec![0f32; shape.len()];
        matmul_into(isa, self.operand()?, other.operand()?, &mut out)?;
        Tensor::from_vec(out, shape)
    }

    fn operand(&self) -> Result<Operand<'_>> {
        Ok((self.shape, self.strides, &self.storage::<f32>()?.as_slice()[self.offset..]))
    }
}

/// A matrix product operand: its shape, its strides and its elements.
pub(crate) type Operand<'a> = (Shape, [usize; MAX_RANK], &'a [f32]);

/// Computes `a @ b` into `out`, which has the length of [`product_shape`].
pub(crate) fn matmul_into(isa: Isa, a: Operand<'_>, b: Operand<'_>, out: &mut [f32]) -> Result<()> {
    let shape = product_shape(&a.0, &b.0)?;
    if shape.is_empty() {
        // A batch of none has no first matrix.
        return Ok(());
    }
    let rank = shape.rank();
    let (m, k, n) = (shape[rank - 2], a.0.last_dim(), shape[rank - 1]);
    let (sa, sb) = (aligned(&a, rank), aligned(&b, rank));

    let sc = shape.strides();
    let batch: [BatchDim; MAX_RANK] = std::array::from_fn(|axis| BatchDim {
        len: shape.get(axis).copied().unwrap_or(0),
        a_stride: sa[axis],
        b_stride: sb[axis],
        c_stride: sc[axis],
    });
    let left = Matrix::strided(a.2, m, k, sa[rank - 2], sa[rank - 1]);
    let right = Matrix::strided(b.2, k, n, sb[rank - 2], sb[rank - 1]);
    let product = MatrixMut::new(out, m, n);
    gemm_batched(isa, &batch[..rank - 2], left, right, product, &Scaling::default());
    Ok(())
}

/// Strides aligned at the last axis of a result of `rank` axes; 0 where the operand is stretched.
fn aligned((shape, strides, _): &Operand<'_>, rank: usize) -> [usize; MAX_RANK] {
    let added = rank - shape.rank();
    let mut aligned = [0; MAX_RANK];
    for axis in 0..shape.rank() {
        let matrix = axis + 2 >= shape.rank();
        aligned[added + axis] = if matrix || shape[axis] != 1 { strides[axis] } else { 0 };
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_broadcast() {
        let a = Tensor::arange(12).unwrap().reshape([2, 1, 2, 3]).unwrap();
        let b = Tensor::arange(18).unwrap().reshape([3, 3, 2]).unwrap();
        let c = a.matmul(&b).unwrap();
        assert_eq!(c.shape().dims(), [2, 3, 2, 2]);
        for i in 0..2 {
            for j in 0..3 {
                let want = a.select(0, i).unwrap().select(0, 0).unwrap();
                let want = want.matmul(&b.select(0, j).unwrap()).unwrap();
                let got = c.select(0, i).unwrap().select(0, j).unwrap();
                assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
            }
        }
    }

    #[test]
    fn transposed_views_multiply_like_their_copies() {
        let a = Tensor::arange(6).unwrap().reshape([3, 2]).unwrap().transpose(0, 1).unwrap();
        let b = Tensor::arange(12).unwrap().reshape([4, 3]).unwrap().transpose(0, 1).unwrap();
        let copies = a.contiguous().unwrap().matmul(&b.contiguous().unwrap()).unwrap();
        assert_eq!(a.matmul(&b).unwrap().to_vec::<f32>().unwrap(), copies.to_vec::<f32>().unwrap());
    }

    #[test]
    fn a_batch_of_none_gives_none() {
        for (a, b) in
            [([0, 3, 3], vec![3, 2]), ([0, 3, 3], vec![1, 3, 2]), ([1, 3, 3], vec![0, 3, 2])]
        {
            let c = Tensor::zeros(a).unwrap().matmul(&Tensor::zeros(&b[..]).unwrap()).unwrap();
            assert_eq!(c.shape().dims(), [0, 3, 2]);
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zeros() {
        let c = Tensor::zeros([2, 0]).unwrap().matmul(&Tensor::zeros([0, 3]).unwrap()).unwrap();
        assert_eq!(c.to_vec::<f32>().unwrap(), [0.0; 6]);
        assert!(Tensor::zeros([2, 3]).unwrap().matmul(&Tensor::zeros([2, 3]).unwrap()).is_err());
    }
}
