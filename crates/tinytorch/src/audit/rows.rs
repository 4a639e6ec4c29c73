//! Where the samples of an audit come from.

use crate::Result;
use crate::tensor::{Dtype, Shape, Tensor};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// The values of an input for all samples, of which as many are read at a time as a pass takes: a tensor, or what
/// somebody else keeps.
pub trait Rows: Debug + Send + Sync {
    /// The shape of all of them, of which the first axis counts the samples.
    fn shape(&self) -> Shape;

    /// What the values are.
    fn dtype(&self) -> Dtype;

    /// These rows; a scalar as it is.
    ///
    /// # Errors
    /// For rows that are not there, or that cannot be read.
    fn rows(&self, range: Range<usize>) -> Result<Tensor>;

    /// Whether the values may change while they are read. An audit then makes sure that they did not.
    fn may_change(&self) -> bool {
        false
    }
}

impl Rows for Tensor {
    fn shape(&self) -> Shape {
        *Tensor::shape(self)
    }

    fn dtype(&self) -> Dtype {
        Tensor::dtype(self)
    }

    fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        if Tensor::shape(self).rank() == 0 { Ok(self.clone()) } else { self.slice(0, range) }
    }
}

/// The same values, floats times a factor.
#[derive(Debug)]
pub(super) struct Scaled {
    pub(super) rows: Arc<dyn Rows>,
    pub(super) factor: f32,
}

impl Rows for Scaled {
    fn shape(&self) -> Shape {
        self.rows.shape()
    }

    fn dtype(&self) -> Dtype {
        self.rows.dtype()
    }

    fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        let rows = self.rows.rows(range)?;
        if rows.dtype() == Dtype::F32 { rows.scale(self.factor) } else { Ok(rows) }
    }
}
