use super::FileDtype;
use crate::tensor::Shape;
use std::{io, path::PathBuf};

/// What can go wrong with a file: one sentence that names the file and, where there is one, the
/// tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// The system cannot read it.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system cannot write it; a file that was there before is unchanged.
    #[error("cannot write {}: {source}; a file already there is unchanged", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("{} is not a regular file; name a .safetensors file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is not a valid safetensors file, or would not be one.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: FormatError,
    },
}

/// Where a file departs from the safetensors format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the header's length takes.
    #[error("the file has {bytes} bytes and a safetensors file at least 10; it is truncated or of another kind")]
    TooShort {
        /// Bytes in the file.
        bytes: usize,
    },
    /// The header claims to be larger than any the format allows.
    #[error("the header claims {length} bytes where the format allows {limit}; it is not a safetensors file")]
    HeaderTooLarge {
        /// Bytes the header claims.
        length: u64,
        /// Most bytes a header may have.
        limit: usize,
    },
    /// The header ends beyond the file.
    #[error("the header claims {length} bytes but only {available} follow; the file is truncated, copy it again")]
    HeaderTruncated {
        /// Bytes the header claims.
        length: u64,
        /// Bytes after the length.
        available: usize,
    },
    /// The header is not the JSON that the format asks for.
    #[error("the header is not a safetensors header: {detail}")]
    Header {
        /// What the JSON reader says.
        detail: String,
    },
    /// Two tensors of one name.
    #[error("tensor {tensor:?} occurs twice; names must be unique")]
    DuplicateName {
        /// The name.
        tensor: String,
    },
    /// Two metadata entries of one key.
    #[error("metadata key {key:?} occurs twice; keys must be unique")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A name that the format keeps for itself.
    #[error("a tensor cannot be named {tensor:?}, which the format uses for metadata; rename it")]
    ReservedName {
        /// The name.
        tensor: String,
    },
    /// An element type that the format does not have.
    #[error("tensor {tensor:?} has the unknown element type {dtype:?}")]
    UnknownDtype {
        /// The tensor.
        tensor: String,
        /// The type as the file spells it.
        dtype: String,
    },
    /// Dimensions that no memory can hold.
    #[error("tensor {tensor:?} has {rank} dimensions starting {first:?}; at most 8 dimensions and 2^48 elements are supported")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Number of dimensions.
        rank: usize,
        /// The first few of them.
        first: Vec<u64>,
    },
    /// The offsets are reversed or do not span the bytes of the shape.
    #[error("tensor {tensor:?} of {dtype} {shape} spans bytes {begin}..{end}, which is not its size")]
    Size {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: FileDtype,
        /// Its shape.
        shape: Shape,
        /// First byte, counted from the end of the header.
        begin: u64,
        /// One past its last byte.
        end: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first:?} and {second:?} overlap; each needs bytes of its own")]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
    },
    /// Bytes that belong to no tensor.
    #[error("{bytes} bytes before tensor {tensor:?} belong to no tensor")]
    Hole {
        /// The tensor after the hole.
        tensor: String,
        /// Bytes that nothing refers to.
        bytes: usize,
    },
    /// A tensor ends beyond the file.
    #[error("tensor {tensor:?} ends {missing} bytes after the end of the file, which is truncated; copy it again")]
    Truncated {
        /// The first tensor that is not all there.
        tensor: String,
        /// How many bytes it lacks.
        missing: usize,
    },
    /// Bytes after the last tensor.
    #[error("{bytes} bytes follow the last tensor; the file is damaged or was joined with another")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// There is no tensor of this name.
    #[error("tensor {tensor:?} is missing")]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// An element type that tensors cannot have.
    #[error("tensor {tensor:?} is {dtype}, which tinytorch does not compute with; convert it to F32, F16, BF16, I64, I32, U8 or I8")]
    Unsupported {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: FileDtype,
    },
}
