//! Samples as rows: picking and stacking along the leading axis, for any element type.

use crate::Result;
use crate::tensor::{Dtype, Element, Tensor};

/// The entries `indices` of the leading axis; every index must be below its length.
pub(super) fn gather(t: &Tensor, indices: &[usize]) -> Result<Tensor> {
    fn of<T: Element>(t: &Tensor, indices: &[usize]) -> Result<Tensor> {
        let values = t.as_slice::<T>()?;
        let row: usize = t.shape()[1..].iter().product();
        let mut out = Vec::with_capacity(indices.len() * row);
        for &i in indices {
            out.extend_from_slice(&values[i * row..(i + 1) * row]);
        }
        Tensor::from_vec(out, t.shape().with(0, indices.len()))
    }
    match t.dtype() {
        Dtype::F32 => of::<f32>(t, indices),
        Dtype::I64 => of::<i64>(t, indices),
        Dtype::U8 => of::<u8>(t, indices),
        Dtype::I8 => of::<i8>(t, indices),
        Dtype::I32 => of::<i32>(t, indices),
        Dtype::Bool => of::<bool>(t, indices),
    }
}

/// Tensors of equal shape and type as the entries of a new leading axis.
pub(super) fn stack(tensors: &[Tensor]) -> Result<Tensor> {
    match tensors.first().map_or(Dtype::F32, Tensor::dtype) {
        Dtype::F32 => Tensor::stack::<f32>(tensors),
        Dtype::I64 => Tensor::stack::<i64>(tensors),
        Dtype::U8 => Tensor::stack::<u8>(tensors),
        Dtype::I8 => Tensor::stack::<i8>(tensors),
        Dtype::I32 => Tensor::stack::<i32>(tensors),
        Dtype::Bool => Tensor::stack::<bool>(tensors),
    }
}
