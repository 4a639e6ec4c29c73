//! What can be wrong with layers.

use crate::tensor::{Dtype, Shape};

/// What can be wrong with a layer's sizes, or with how it is called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A width that the heads do not divide.
    #[error(
        "{num_heads} heads do not divide a width of {embed_dim}; it must be a multiple of them"
    )]
    Heads {
        /// The width.
        embed_dim: usize,
        /// Number of heads.
        num_heads: usize,
    },
    /// Query heads that cannot share the key heads.
    #[error(
        "{num_kv_heads} key and value heads cannot serve {num_heads} query heads; their number must divide the other"
    )]
    KeyValueHeads {
        /// Number of query heads.
        num_heads: usize,
        /// Number of key and value heads.
        num_kv_heads: usize,
    },
    /// Heads of an odd width, whose entries form no pairs to rotate.
    #[error(
        "rotary positions need heads of even width, got {head_dim}; choose other numbers of heads"
    )]
    OddHead {
        /// Width of a head.
        head_dim: usize,
    },
    /// Keys that are kept for later passes cannot be followed by a gradient or a trace.
    #[error("a key-value cache is for inference alone; run recorded passes without it")]
    RecordedCache,
    /// A weight of another number of dimensions than the layer has.
    #[error("the weight of a {layer} is given as {got}; it has {expected} dimensions")]
    GivenRank {
        /// The layer.
        layer: &'static str,
        /// Shape of the tensor.
        got: Shape,
        /// Dimensions of the layer's weight.
        expected: usize,
    },
    /// A tensor that is not what the layer holds.
    #[error(
        "the {name} of a {layer} is given as {dtype} {got}; beside the others it is f32 {expected}"
    )]
    Given {
        /// The layer.
        layer: &'static str,
        /// The parameter.
        name: &'static str,
        /// Shape of the tensor.
        got: Shape,
        /// Its element type.
        dtype: Dtype,
        /// Shape of the parameter.
        expected: Shape,
    },
}

impl crate::CustomError for LayerError {}
