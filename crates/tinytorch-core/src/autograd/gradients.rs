//! What a backward pass gives.

use super::param::Param;
use super::var::{Point, Var};
use crate::Result;
use crate::graph::ParamId;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// A running statistic to be moved towards a value seen in the pass.
#[derive(Clone, Debug)]
pub struct BufferUpdate {
    /// The buffer.
    pub id: ParamId,
    /// Weight of the new value: `buffer = (1 - momentum) * buffer + momentum * value`.
    pub momentum: f32,
    /// The value seen.
    pub value: Tensor,
}

/// What a training step changes: the gradient of every parameter that took part in the pass, and
/// the running statistics that the pass has seen.
#[derive(Debug, Default)]
pub struct Gradients {
    pub(super) tape: u64,
    pub(super) params: BTreeMap<ParamId, Tensor>,
    pub(super) inputs: BTreeMap<usize, Tensor>,
    pub(super) updates: Vec<BufferUpdate>,
}

impl Gradients {
    /// The gradient of a parameter.
    pub fn of(&self, param: &Param) -> Option<&Tensor> {
        self.params.get(&param.id())
    }

    /// The gradient of a parameter, by identity.
    pub fn get(&self, id: ParamId) -> Option<&Tensor> {
        self.params.get(&id)
    }

    /// The gradient of an input that was tracked with [`Ctx::input`](super::Ctx::input).
    pub fn of_input(&self, input: &Var) -> Option<&Tensor> {
        let Point { tape, node, .. } = input.point?;
        if tape == self.tape { self.inputs.get(&node) } else { None }
    }

    /// All parameter gradients, in the order the parameters were made.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParamId, &mut Tensor)> {
        self.params.iter_mut().map(|(&id, g)| (id, g))
    }

    /// All parameter gradients, in the order the parameters were made.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Tensor)> {
        self.params.iter().map(|(&id, g)| (id, g))
    }

    /// The running statistics to apply, in the order they were seen.
    pub fn updates(&self) -> &[BufferUpdate] {
        &self.updates
    }

    /// Adds another pass's gradients, each times `weight`: accumulation over several batches.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if a parameter changed shape.
    pub fn accumulate(&mut self, other: Gradients, weight: f32) -> Result<()> {
        for (id, mut grad) in other.params {
            grad.as_mut_slice::<f32>()?.iter_mut().for_each(|g| *g *= weight);
            match self.params.entry(id) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(grad);
                }
                std::collections::btree_map::Entry::Occupied(mut sum) => {
                    sum.get_mut().add_assign(&grad)?;
                }
            }
        }
        self.updates.extend(other.updates);
        Ok(())
    }
}
