//! What an optimizer remembers of a parameter.

use crate::tensor::Tensor;

/// What an optimizer remembers of one parameter.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// How many steps the parameter has taken.
    pub steps: u64,
    /// Tensors of the parameter's shape, in the order of [`Rule::slots`](super::Rule::slots).
    pub slots: Vec<Tensor>,
}
