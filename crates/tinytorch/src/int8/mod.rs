//! Weights stored as int8.

use crate::tensor::Shape;

/// An int8 weight.
#[derive(Clone, Debug)]
pub struct QWeight {
    shape: Shape,
}

impl QWeight {
    /// The shape in the layer's terms.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}
