//! The dimensions of a tensor.

use super::TensorError;
use std::{fmt, ops::Deref};

/// Largest number of dimensions a tensor may have.
pub const MAX_RANK: usize = 6;

/// No buffer of more elements fits the address space of today's machines.
const MAX_LEN: usize = 1 << 48;

/// The sizes of a tensor's dimensions, outermost first. A scalar has none.
///
/// ```
/// use tinytorch_core::tensor::Shape;
/// let s = Shape::new(&[2, 3])?;
/// assert_eq!(s.len(), 6);
/// assert_eq!(s.to_string(), "[2, 3]");
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape of a single value: no dimensions.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// A shape with these dimensions.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`] for more than [`MAX_RANK`] dimensions or 2^48 elements.
    pub fn new(dims: &[usize]) -> Result<Shape, TensorError> {
        let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        // A zero dimension hides an overflow of the others, hence the second product.
        let span = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        match (len, span) {
            (Some(_), Some(span)) if dims.len() <= MAX_RANK && span <= MAX_LEN => {
                let mut own = [0; MAX_RANK];
                own[..dims.len()].copy_from_slice(dims);
                Ok(Shape { dims: own, rank: dims.len() as u8 })
            }
            _ => Err(TensorError::TooLarge {
                rank: dims.len(),
                first: dims.iter().copied().take(4).collect(),
                max: MAX_RANK,
            }),
        }
    }

    /// The shape of something that exists in memory, and so is known to be possible.
    pub(crate) fn known(dims: &[usize]) -> Shape {
        let mut own = [0; MAX_RANK];
        own[..dims.len()].copy_from_slice(dims);
        Shape { dims: own, rank: dims.len() as u8 }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Number of elements: the product of the dimensions, 1 for a scalar.
    pub fn len(&self) -> usize {
        self.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank()]
    }

    /// The last dimension, 1 for a scalar.
    pub fn last_dim(&self) -> usize {
        self.last().copied().unwrap_or(1)
    }

    /// The same shape with dimension `axis` set to `size`; `axis` must be below the rank.
    pub fn with(mut self, axis: usize, size: usize) -> Shape {
        debug_assert!(axis < self.rank());
        self.dims[axis] = size;
        self
    }

    /// Strides, in elements, of a contiguous row-major buffer of this shape.
    pub(crate) fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis];
        }
        strides
    }

    /// The shape both operands broadcast to: aligned at the last dimension, a 1 stretches.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] where two dimensions differ and neither is 1.
    pub fn broadcast(&self, other: &Shape, op: &'static str) -> Result<Shape, TensorError> {
        let rank = self.rank().max(other.rank());
        let mut dims = [1; MAX_RANK];
        for back in 1..=rank {
            let at = |s: &Shape| if back <= s.rank() { s[s.rank() - back] } else { 1 };
            dims[rank - back] = match (at(self), at(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => {
                    return Err(TensorError::Mismatch {
                        op,
                        left: *self,
                        right: *other,
                        expected: "dimensions must be equal or 1, counted from the last",
                    });
                }
            };
        }
        Shape::new(&dims[..rank])
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.dims()).finish()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Anything that names a shape: `[2, 3]`, `&[2, 3]`, a [`Shape`].
pub trait IntoShape {
    /// The shape, checked.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], see [`Shape::new`].
    fn into_shape(self) -> Result<Shape, TensorError>;
}

impl IntoShape for Shape {
    fn into_shape(self) -> Result<Shape, TensorError> {
        Ok(self)
    }
}

impl<const N: usize> IntoShape for [usize; N] {
    fn into_shape(self) -> Result<Shape, TensorError> {
        Shape::new(&self)
    }
}

impl IntoShape for &[usize] {
    fn into_shape(self) -> Result<Shape, TensorError> {
        Shape::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_at_the_last_dimension() {
        let a = Shape::new(&[4, 1, 3]).unwrap();
        let b = Shape::new(&[2, 1]).unwrap();
        assert_eq!(a.broadcast(&b, "add").unwrap().dims(), [4, 2, 3]);
        assert!(a.broadcast(&Shape::new(&[2]).unwrap(), "add").is_err());
    }

    #[test]
    fn absurd_shapes_are_refused_even_behind_a_zero() {
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[0, usize::MAX, usize::MAX]).is_err());
        assert!(Shape::new(&[1; 9]).is_err());
        assert_eq!(Shape::new(&[]).unwrap(), Shape::SCALAR);
        assert_eq!(Shape::SCALAR.len(), 1);
    }
}
