//! What a file says about one of its tensors.

use super::FileDtype;
use crate::tensor::{Dtype, Shape};
use std::ops::Range;

/// What a file says about one of its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The element type in the file.
    pub dtype: FileDtype,
    /// The dimensions.
    pub shape: Shape,
    /// Its bytes, counted from the end of the header.
    pub range: Range<usize>,
}

impl TensorInfo {
    /// Bytes that the tensor takes in the file.
    pub fn bytes(&self) -> usize {
        self.range.len()
    }

    /// The element type of the tensor in memory, if there is one: floats become f32, integers that tensors
    /// cannot have wider ones, and all others stay what they are.
    pub fn memory_dtype(&self) -> Option<Dtype> {
        match self.dtype {
            FileDtype::F64 | FileDtype::F32 | FileDtype::F16 | FileDtype::BF16 => Some(Dtype::F32),
            FileDtype::I64 | FileDtype::U32 => Some(Dtype::I64),
            FileDtype::I32 | FileDtype::I16 | FileDtype::U16 => Some(Dtype::I32),
            FileDtype::U8 => Some(Dtype::U8),
            FileDtype::I8 => Some(Dtype::I8),
            FileDtype::BOOL => Some(Dtype::Bool),
            _ => None,
        }
    }
}
