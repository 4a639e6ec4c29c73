//! Values of a pass.

use crate::tensor::{Shape, Tensor};

/// A point on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) tape: u64,
    pub(super) node: usize,
    /// Which output of the node.
    pub(super) output: usize,
}

/// A value that flows through a pass: a tensor, and where the tape recorded it.
///
/// The ops that can be recorded are methods of `Var` and take the context; each is defined in the
/// file of its op. [`Var::value`] steps out of the record.
#[derive(Clone, Debug)]
pub struct Var {
    value: Tensor,
    pub(super) point: Option<Point>,
}

impl Var {
    pub(super) fn new(value: Tensor, point: Option<Point>) -> Var {
        Var { value, point }
    }

    /// The numbers, outside any record.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The numbers, by value.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The same value as a constant: no gradient passes through it.
    pub fn detach(&self) -> Var {
        Var::new(self.value.clone(), None)
    }

    /// Whether a tape has recorded it.
    pub fn is_tracked(&self) -> bool {
        self.point.is_some()
    }
}

impl From<Tensor> for Var {
    fn from(value: Tensor) -> Var {
        Var::new(value, None)
    }
}

impl From<&Tensor> for Var {
    fn from(value: &Tensor) -> Var {
        Var::new(value.clone(), None)
    }
}
