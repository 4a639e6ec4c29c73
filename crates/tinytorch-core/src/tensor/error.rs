//! What can go wrong with a tensor.

use super::{Dtype, Shape};

/// What can go wrong with a tensor operation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The number of values does not fill the shape.
    #[error("{len} values do not fill shape {shape}, which needs {}; pass as many values as the shape holds", shape.len())]
    Length {
        /// Number of values given.
        len: usize,
        /// Shape asked for.
        shape: Shape,
    },
    /// The dimensions multiply to more than the address space, or there are too many of them.
    #[error(
        "a shape of {rank} dimensions starting {first:?} is too large; at most {max} dimensions and 2^48 elements are supported"
    )]
    TooLarge {
        /// Number of dimensions given.
        rank: usize,
        /// The first few dimensions.
        first: Vec<usize>,
        /// Largest supported rank.
        max: usize,
    },
    /// Two shapes that should be equal or broadcast together do not.
    #[error("{op}: shapes {left} and {right} do not fit together; {expected}")]
    Mismatch {
        /// The operation.
        op: &'static str,
        /// Shape of the first operand.
        left: Shape,
        /// Shape of the second operand.
        right: Shape,
        /// What the operation expects.
        expected: &'static str,
    },
    /// One operand has a shape that the operation does not take.
    #[error("{op}: got shape {shape}; {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape that was given.
        shape: Shape,
        /// What the operation expects.
        expected: String,
    },
    /// An axis outside the shape.
    #[error("{op}: axis {axis} is outside shape {shape}, which has {} dimensions", shape.rank())]
    Axis {
        /// The operation.
        op: &'static str,
        /// The axis given.
        axis: usize,
        /// The shape it should index.
        shape: Shape,
    },
    /// An index or range outside an axis.
    #[error("{op}: {start}..{end} is outside an axis of {len} entries")]
    Range {
        /// The operation.
        op: &'static str,
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// Length of the axis.
        len: usize,
    },
    /// An index value that does not name an entry.
    #[error("{op}: index {index} is outside 0..{len}; check the values of the index tensor")]
    Index {
        /// The operation.
        op: &'static str,
        /// The offending index.
        index: i64,
        /// Number of entries.
        len: usize,
    },
    /// The element type is not the one asked for.
    #[error("expected a tensor of {expected}, got one of {got}; convert it with `to_dtype`")]
    Dtype {
        /// Element type needed.
        expected: Dtype,
        /// Element type found.
        got: Dtype,
    },
    /// A slice was asked of a view whose elements are not adjacent.
    #[error("a view of shape {shape} is not contiguous in memory; call `contiguous()` first")]
    NotContiguous {
        /// Shape of the view.
        shape: Shape,
    },
    /// A single value was asked of a tensor that holds another number.
    #[error("`item` needs a tensor with one value, got shape {shape}")]
    NotScalar {
        /// Shape of the tensor.
        shape: Shape,
    },
}
