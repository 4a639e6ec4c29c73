//! Weights stored as int8: the packed form that layers hold and kernels multiply.
//!
//! ```
//! use tinytorch_core::{Tensor, int8::{Granularity, QWeight}};
//! let weight = Tensor::from_vec(vec![0.5, -1.27, 0.0, 2.54], [2, 2])?;
//! let q = QWeight::quantize(&weight, Granularity::PerChannel)?;
//! assert_eq!(q.bytes(), 4 + 2 * 4);
//! assert!(q.dequantize()?.allclose(&weight, 0.0, 0.01)?);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod bits;
mod encoding;
mod scales;
mod weight;

pub use bits::WeightBits;
pub use encoding::{Encoding, Int8Weight};
pub use scales::{BLOCK, Granularity, Scales};
pub use tinytorch_kernels::int8::QParams;
pub use weight::QWeight;

use crate::tensor::Shape;

/// What can go wrong with an int8 weight.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Int8Error {
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] tinytorch_kernels::int8::Int8Error),
    /// A shape that is not a weight's.
    #[error(
        "a tensor of shape {shape} is not a weight; int8 weights are [out, in] or [out, in, height, width], without empty dimensions"
    )]
    Shape {
        /// The shape.
        shape: Shape,
    },
    /// The number of scales does not fit the weight.
    #[error("a weight of shape {shape} needs {expected} scales, got {got}")]
    Scales {
        /// Shape of the weight.
        shape: Shape,
        /// Scales given.
        got: usize,
        /// Scales needed.
        expected: usize,
    },
    /// A shift that is not one finite number for each output channel.
    #[error(
        "a weight of shape {shape} takes one finite shift for each row; {got} were given, or one is not finite"
    )]
    Shift {
        /// Shape of the weight.
        shape: Shape,
        /// Numbers given.
        got: usize,
    },
    /// A number of bits that weights cannot have.
    #[error("a weight cannot have {bits} bits; choose 2 to 8")]
    Bits {
        /// The number given.
        bits: u8,
    },
    /// Steps that cannot be learned.
    #[error("steps cannot be learned in blocks; choose one per tensor or per channel")]
    LearnedBlocks,
    /// A weight whose steps no float is small enough for.
    #[error(
        "its largest value is {largest:e}, too small for steps of 8 bits; multiply it by a power of ten and divide what it gives, or leave it out"
    )]
    TooSmall {
        /// The largest value.
        largest: f32,
    },
    /// A scale too large for 16 bits.
    #[error(
        "a block needs the scale {scale}, which 16 bits cannot hold; quantize this weight per channel"
    )]
    BlockScale {
        /// The scale.
        scale: f32,
    },
}
