//! What can be wrong with the arguments of an int8 kernel.

use super::{MAX_K, MAX_K_OFF_CENTER};

/// Arguments that an int8 kernel refuses. Nothing is written when one is returned.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Int8Error {
    /// A dot product this long could overflow its 32-bit accumulator.
    #[error(
        "a dot product over {k} values could overflow 32 bits: split it into parts of at most {MAX_K}"
    )]
    TooLong {
        /// Values in the dot product.
        k: usize,
    },
    /// The same of weights whose zero is another level than 0.
    #[error(
        "a dot product over {k} values of weights with a zero point could overflow 32 bits: split it into parts of at most {MAX_K_OFF_CENTER}"
    )]
    TooLongOffCenter {
        /// Values in the dot product.
        k: usize,
    },
    /// Weights with zero points whose sums are not one integer.
    #[error(
        "weights with zero points take scales for each row and activations of 8 bits: choose these, or take the zero points off the weights"
    )]
    ZeroPoints,
    /// The sizes multiply to more than the address space.
    #[error("{what} is larger than the address space: check its shape")]
    TooLarge {
        /// What the size is of.
        what: &'static str,
    },
    /// A slice does not have the length that the shape asks for.
    #[error(
        "{what} has {got} elements but the shape needs {expected}: pass a slice of that length"
    )]
    Length {
        /// Which argument.
        what: &'static str,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements that were passed.
        got: usize,
    },
    /// The inner sizes of the product differ.
    #[error(
        "activations have rows of {activations} values but weights have rows of {weights}: they must agree"
    )]
    InnerSize {
        /// Values in a row of the activations.
        activations: usize,
        /// Values in a row of the weights.
        weights: usize,
    },
    /// There is no such row.
    #[error("row {row} does not exist: the weights have {n} rows")]
    Row {
        /// The row asked for.
        row: usize,
        /// Rows that exist.
        n: usize,
    },
    /// A value to quantize, or a bound of its range, is NaN or infinite.
    #[error("{what} is {value} at index {index}: only finite values can be quantized")]
    NotFinite {
        /// Which argument.
        what: &'static str,
        /// Where in it.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The range's ends cannot both be represented.
    #[error("the range {min}..{max} is too wide for 8 bits: its reconstruction overflows an f32")]
    TooWide {
        /// Lower end.
        min: f32,
        /// Upper end.
        max: f32,
    },
    /// A scale that is zero, negative, NaN, infinite, or has no finite inverse.
    #[error("{what} is {scale}: a scale must be positive, finite, and at least 2^-127")]
    Scale {
        /// Which argument.
        what: &'static str,
        /// The scale.
        scale: f32,
    },
    /// Blocks of scales that do not consist of whole groups.
    #[error("scales in blocks of {size} values are not supported: use a multiple of 4, such as 32")]
    BlockSize {
        /// Values in a block.
        size: usize,
    },
    /// Blocks of scales too long for 16-bit activations.
    #[error(
        "scales in blocks of {size} values could overflow 32 bits with 16-bit activations: use blocks of at most {most}"
    )]
    LongBlock {
        /// Values in a block.
        size: usize,
        /// The most there may be.
        most: usize,
    },
    /// 16-bit activations around another level than 0.
    #[error("16-bit activations have the zero point {zero_point}: quantize them around 0")]
    NotCentered {
        /// The level that stands for 0.
        zero_point: u8,
    },
    /// What takes 8-bit activations alone was given 16-bit ones.
    #[error("{what} takes 8-bit activations: quantize them to 8 bits")]
    EightBits {
        /// What was asked to compute.
        what: &'static str,
    },
    /// A convolution whose geometry makes no sense.
    #[error("the convolution's {what}: correct its shape")]
    Convolution {
        /// What is wrong.
        what: &'static str,
    },
}

/// Refuses a slice whose length is not `expected`.
pub(crate) fn check_length(
    what: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), Int8Error> {
    if got == expected { Ok(()) } else { Err(Int8Error::Length { what, expected, got }) }
}

/// The product of sizes, or an error that names what they are the size of.
pub(crate) fn checked_size(what: &'static str, sizes: &[usize]) -> Result<usize, Int8Error> {
    sizes
        .iter()
        .try_fold(1usize, |product, size| product.checked_mul(*size))
        .filter(|product| isize::try_from(*product).is_ok())
        .ok_or(Int8Error::TooLarge { what })
}
