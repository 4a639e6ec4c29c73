//! How many parameters a model has.

use crate::autograd::{Role, Stored};
use crate::nn::Module;
use serde::{Deserialize, Serialize};

/// How many scalar parameters a model has, by how they are held.
///
/// ```
/// use tinytorch::{nn::{Init, Linear}, profile::ParameterCount};
/// let count = ParameterCount::of(&Linear::new(4, 8, &mut Init::seed(0))?);
/// assert_eq!((count.float, count.int8, count.trainable), (40, 0, 40));
/// assert_eq!(count.bytes, 160);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCount {
    /// Held as floats, or not loaded yet; buffers aside.
    pub float: u64,
    /// Held as int8.
    pub int8: u64,
    /// State that is not trained: running statistics.
    pub buffers: u64,
    /// Changed by training: float, and neither frozen nor a buffer.
    pub trainable: u64,
    /// Bytes that the values take, predicted from their number: 4 for a float, int8 with padding
    /// and scales, none for what is not loaded.
    pub bytes: u64,
}

impl ParameterCount {
    /// Counts a model's parameters.
    pub fn of<M: Module + ?Sized>(model: &M) -> ParameterCount {
        let mut count = ParameterCount::default();
        for (_, param) in model.named_params() {
            let len = param.shape().len() as u64;
            match (param.role(), param.stored()) {
                (_, Stored::Int8(_)) => count.int8 += len,
                (Role::Buffer, _) => count.buffers += len,
                _ => count.float += len,
            }
            if param.is_trainable() {
                count.trainable += len;
            }
            count.bytes += match param.stored() {
                Stored::Absent(_) => 0,
                Stored::F32(value) => value.bytes() as u64,
                Stored::Int8(weight) => weight.bytes() as u64,
            };
        }
        count
    }
}
