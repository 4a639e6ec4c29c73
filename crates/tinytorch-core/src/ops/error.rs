//! Arguments that ops do not take.

use crate::tensor::{Dtype, Shape};

/// What can be wrong with an argument of an op.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// A probability outside 0 to 1.
    #[error("{op}: the probability is {value}; it must lie between 0 and 1")]
    Probability {
        /// The op.
        op: &'static str,
        /// The value given.
        value: f32,
    },
    /// Integers whose exact result is none.
    #[error("{op}: of {left} and {right} the result fits no integer of their type")]
    Integers {
        /// The op.
        op: &'static str,
        /// The first operand.
        left: i64,
        /// The second operand.
        right: i64,
    },
    /// Sizes of parts that do not add up to the axis.
    #[error("split: parts of {sizes:?} entries do not make up axis {axis} of shape {shape}")]
    Parts {
        /// The sizes.
        sizes: Vec<usize>,
        /// The axis.
        axis: usize,
        /// The shape.
        shape: Shape,
    },
    /// A number of entries that an axis does not have.
    #[error("{op}: {asked} entries asked of an axis of {len}")]
    Count {
        /// The op.
        op: &'static str,
        /// How many were asked for.
        asked: i64,
        /// How many there are.
        len: usize,
    },
    /// An element type that the op does not take.
    #[error("{op} does not take {got}; convert it with `cast`")]
    Type {
        /// The op.
        op: &'static str,
        /// The type given.
        got: Dtype,
    },
    /// A sequence longer than the table of positions.
    #[error(
        "the sequence reaches position {end}, but there are {positions} positions; shorten it or use a model with a longer context"
    )]
    Context {
        /// One past the last position of the sequence.
        end: usize,
        /// Number of positions there are.
        positions: usize,
    },
}
