//! Joining tensors into one.

use super::{Element, Shape, Tensor, TensorError};
use crate::Result;

impl Tensor {
    /// Tensors of equal shape laid one after the other along axis `axis`.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the other axes differ, [`TensorError::Shape`] without tensors,
    /// [`TensorError::Dtype`] if the element types differ from `T`.
    pub fn cat<T: Element>(tensors: &[Tensor], axis: usize) -> Result<Tensor> {
        let shapes: Vec<Shape> = tensors.iter().map(|t| t.shape).collect();
        let shape = joined(&shapes, axis)?;
        let outer: usize = shape[..axis].iter().product();
        let dense = tensors.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let mut out: Vec<T> = Vec::with_capacity(shape.len());
        for o in 0..outer {
            for t in &dense {
                let run = t.len() / outer;
                out.extend_from_slice(&t.as_slice::<T>()?[o * run..(o + 1) * run]);
            }
        }
        Tensor::from_vec(out, shape)
    }

    /// Tensors of equal shape as the entries of a leading axis.
    ///
    /// # Errors
    /// As [`Tensor::cat`].
    pub fn stack<T: Element>(tensors: &[Tensor]) -> Result<Tensor> {
        let lifted = tensors.iter().map(|t| t.unsqueeze(0)).collect::<Result<Vec<_>>>()?;
        Tensor::cat::<T>(&lifted, 0)
    }
}

/// The shape after [`Tensor::cat`].
pub(crate) fn joined(shapes: &[Shape], axis: usize) -> Result<Shape> {
    let Some(first) = shapes.first() else {
        let expected = "at least one tensor is needed".into();
        return Err(TensorError::Shape { op: "cat", shape: Shape::SCALAR, expected }.into());
    };
    if axis >= first.rank() {
        return Err(TensorError::Axis { op: "cat", axis, shape: *first }.into());
    }
    let mut along = 0;
    for shape in shapes {
        if shape.rank() != first.rank() || shape.with(axis, 0) != first.with(axis, 0) {
            return Err(TensorError::Mismatch {
                op: "cat",
                left: *first,
                right: *shape,
                expected: "all axes but the joined one must be equal",
            }
            .into());
        }
        along += shape[axis];
    }
    let mut dims = first.to_vec();
    dims[axis] = along;
    Ok(Shape::new(&dims)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cat_undoes_slice_on_every_axis() {
        let t = Tensor::arange(24).unwrap().reshape([2, 3, 4]).unwrap();
        for axis in 0..3 {
            let parts = [t.slice(axis, 0..1).unwrap(), t.slice(axis, 1..t.shape()[axis]).unwrap()];
            let joined = Tensor::cat::<f32>(&parts, axis).unwrap();
            assert_eq!(joined.to_vec::<f32>().unwrap(), t.to_vec::<f32>().unwrap());
        }
        assert!(Tensor::cat::<f32>(&[], 0).is_err());
        assert!(Tensor::cat::<f32>(&[t.clone(), t.slice(1, 0..2).unwrap()], 0).is_err());
    }

    #[test]
    fn stack_adds_an_axis() {
        let row = Tensor::arange(3).unwrap();
        let two = Tensor::stack::<f32>(&[row.clone(), row]).unwrap();
        assert_eq!(two.shape().dims(), [2, 3]);
    }
}
