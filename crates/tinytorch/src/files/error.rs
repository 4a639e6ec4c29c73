//! What can go wrong with a file.

use super::{FileDtype, Foreign, TorchError};
use crate::int8::Int8Error;
use crate::tensor::Shape;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a file: one sentence that names the file and, where there is one, the
/// tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system cannot read it.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written; a file that was there before is unchanged.
    #[error("cannot write {}: {source}; a file already there is unchanged", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("{} is not a regular file; name the model's file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Settings that cannot be used.
    #[error("{}: {problem}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
    },
    /// A folder that does not hold the weights of one model.
    #[error(
        "{} holds {found} .safetensors files where one is needed; name it model.safetensors",
        path.display()
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// Files of that kind in it.
        found: usize,
    },
    /// A folder for a model that holds something else.
    #[error(
        "{} is there and holds no model that tinytorch has written; choose a new folder",
        path.display()
    )]
    Occupied {
        /// The folder.
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
    /// A valid file that does not hold what is asked of it, or a model that cannot be stored.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: ContentError,
    },
}

impl crate::CustomError for FileError {}

impl FileError {
    pub(super) fn content(path: &Path, problem: ContentError) -> FileError {
        FileError::Content { path: path.to_path_buf(), problem }
    }
}

/// Where a file departs from the safetensors format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the header's length takes.
    #[error(
        "the file has {bytes} bytes and a safetensors file at least 10; it is truncated or of another kind"
    )]
    TooShort {
        /// Bytes in the file.
        bytes: usize,
    },
    /// A file of another kind, known by its first bytes.
    #[error("{0}")]
    Foreign(Foreign),
    /// An archive of PyTorch that is damaged or holds other objects than tensors.
    #[error("{0}")]
    Torch(TorchError),
    /// The header claims to be larger than any the format allows.
    #[error(
        "the header claims {length} bytes where the format allows {limit}; it is not a safetensors file"
    )]
    HeaderTooLarge {
        /// Bytes the header claims.
        length: u64,
        /// Most bytes a header may have.
        limit: usize,
    },
    /// The header ends beyond the file.
    #[error(
        "the header claims {length} bytes but only {available} follow; the file is truncated, copy it again"
    )]
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
    #[error(
        "tensor {tensor:?} has {rank} dimensions starting {first:?}; at most 8 dimensions and 2^48 elements are supported"
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Number of dimensions.
        rank: usize,
        /// The first few of them.
        first: Vec<u64>,
    },
    /// The offsets are reversed or do not span the bytes of the shape.
    #[error(
        "tensor {tensor:?} of {dtype} {shape} spans bytes {begin}..{end}, which is not its size"
    )]
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
    #[error(
        "tensor {tensor:?} ends {missing} bytes after the end of the file, which is truncated; copy it again"
    )]
    Truncated {
        /// The first tensor that is not all there.
        tensor: String,
        /// How many bytes it lacks.
        missing: usize,
    },
    /// A file that is no model of llama2.c.
    #[error("it is no model of llama2.c: {detail}")]
    Llama2c {
        /// What does not fit.
        detail: String,
    },
    /// What the header says does not add up to its checksum.
    #[error(
        "the header does not agree with its checksum, so the file is damaged; copy it again, or make it anew (a program that changed it on purpose has to remove the metadata entry {entry:?})"
    )]
    DamagedHeader {
        /// The metadata entry that holds the checksums.
        entry: &'static str,
    },
    /// A metadata entry that writing a file makes itself.
    #[error("metadata key {key:?} is tinytorch's own; choose another")]
    ReservedKey {
        /// The key.
        key: &'static str,
    },
    /// Bytes after the last tensor.
    #[error("{bytes} bytes follow the last tensor; the file is damaged or was joined with another")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Where a file's content does not fit what is asked of it, or a model cannot be stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// There is no tensor of this name.
    #[error(
        "tensor {tensor:?} is missing; the file is incomplete or belongs to another architecture"
    )]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// A tensor that the model has no place for.
    #[error("tensor {tensor:?} is no part of the model; the file belongs to another architecture")]
    Unexpected {
        /// The tensor.
        tensor: String,
    },
    /// An output head of its own for a model whose head is its token table.
    #[error(
        "there is an output head {tensor:?}, but the model's head is its token table; describe the model as one with a head of its own"
    )]
    TiedInModel {
        /// The head's name in the file.
        tensor: String,
    },
    /// No output head for a model that has one of its own.
    #[error(
        "there is no output head {tensor:?}, so the file's head is its token table; describe the model as one whose head is tied to it"
    )]
    TiedInFile {
        /// The head's name in the file.
        tensor: String,
    },
    /// A tensor of another shape than the model's.
    #[error("tensor {tensor:?} has shape {got} where the model needs {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Shape in the file.
        got: Shape,
        /// Shape in the model.
        expected: Shape,
    },
    /// A tensor of another element type than its place takes.
    #[error("tensor {tensor:?} is {got} where {expected} is needed")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Element type in the file.
        got: FileDtype,
        /// Element types that would do.
        expected: &'static str,
    },
    /// A scale that no int8 value can be multiplied by.
    #[error(
        "scale {index} of tensor {tensor:?} is {value}; scales are positive and finite, with a finite inverse"
    )]
    Scale {
        /// The tensor of scales.
        tensor: String,
        /// Which of them.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// A truth value that is neither.
    #[error("element {index} of tensor {tensor:?} is {value}; truth values are 0 or 1")]
    Flag {
        /// The tensor.
        tensor: String,
        /// Which element.
        index: usize,
        /// Its byte.
        value: u8,
    },
    /// A tensor whose bytes do not add up to its checksum.
    #[error(
        "tensor {tensor:?} does not agree with its checksum, so the file is damaged; copy it again, or make it anew (a program that changed it on purpose has to remove the metadata entry {entry:?})"
    )]
    Damaged {
        /// The tensor.
        tensor: String,
        /// The metadata entry that holds the checksums.
        entry: &'static str,
    },
    /// A tensor that was there when the file was opened, and is not all there any more.
    #[error(
        "tensor {tensor:?} ends early, since the file was cut while it was read; copy it again, and read it once it is whole"
    )]
    Cut {
        /// The tensor.
        tensor: String,
    },
    /// An int8 weight that cannot be packed.
    #[error("tensor {tensor:?}: {problem}")]
    Int8 {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: Int8Error,
    },
    /// A metadata entry that is not there.
    #[error("there is no metadata entry {key:?}; the file was not saved as a tinytorch model")]
    MissingMetadata {
        /// Its key.
        key: &'static str,
    },
    /// A metadata entry that cannot be used.
    #[error("metadata entry {key:?}: {detail}")]
    Metadata {
        /// Its key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A kind of model that the program does not know.
    #[error(
        "the model is of the kind {kind:?}, which is another program's own (this one knows {known}); load and audit it with the library, in a program that has the type: `Kinds::built_in().with::<Type>()`"
    )]
    Kind {
        /// Its name.
        kind: String,
        /// The names that are known.
        known: String,
    },
    /// A parameter without values cannot be saved.
    #[error("parameter {parameter:?} holds no values yet; load a checkpoint into the model first")]
    NotLoaded {
        /// The parameter.
        parameter: String,
    },
}
