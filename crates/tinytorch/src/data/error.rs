//! What can go wrong with data.

use crate::tensor::Number;
use std::io;

/// What can go wrong with data sets, loaders and data files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file cannot be opened, read or written.
    #[error("{file}: {source}; check that the path exists and that you may access it")]
    Io {
        /// The file or folder.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that belongs to a data set is not there.
    #[error("{file} is missing from the data set; put it there: {needed}")]
    Missing {
        /// The file that was looked for.
        file: String,
        /// What a complete data set consists of.
        needed: &'static str,
    },
    /// Nothing in the file or folder is a data set this crate knows.
    #[error("{path} is not a data set that can be loaded: {problem}")]
    NotRecognized {
        /// The file or folder.
        path: String,
        /// What was found or expected instead.
        problem: String,
    },
    /// A file ends before its header says it should.
    #[error(
        "{file} is truncated: {what} needs {needed} bytes, at most {available} are there; copy the file again"
    )]
    Truncated {
        /// The file.
        file: String,
        /// The part that is incomplete.
        what: &'static str,
        /// Bytes that the part needs.
        needed: u64,
        /// Bytes that can still come.
        available: u64,
    },
    /// A file does not follow its format.
    #[error("{file} is damaged or of another format: {problem}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong in it.
        problem: String,
    },
    /// A file follows its format but uses a part of it that is not supported.
    #[error("{file} uses {feature}, which is not supported; {remedy}")]
    Unsupported {
        /// The file.
        file: String,
        /// The unsupported part.
        feature: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A value that is to be written as a kind of number that does not have it.
    #[error("{value} cannot be written as {number}; write it as another kind of number")]
    NoSuchNumber {
        /// The value.
        value: String,
        /// The kind of number.
        number: Number,
    },
    /// A compressed file expands beyond the limit.
    #[error(
        "{file} expands to more than {limit} bytes; store it uncompressed if it is really that large"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Largest number of bytes that compressed data may expand to.
        limit: u64,
    },
    /// The inputs and the labels of a data set differ in number.
    #[error(
        "{inputs_file} holds {inputs} inputs but {labels_file} holds {labels} labels; use files that belong together"
    )]
    CountMismatch {
        /// Where the inputs come from.
        inputs_file: String,
        /// Number of inputs.
        inputs: usize,
        /// Where the labels come from.
        labels_file: String,
        /// Number of labels.
        labels: usize,
    },
    /// A label that names no class.
    #[error(
        "{file}: label {label} of sample {index} is outside 0..{classes}; number the classes from 0 and check the number of classes"
    )]
    Label {
        /// Where the labels come from.
        file: String,
        /// Position of the sample.
        index: usize,
        /// The offending label.
        label: String,
        /// Number of classes.
        classes: usize,
    },
    /// An input that is NaN or infinite.
    #[error(
        "{file}: sample {index} holds the value {value}; remove or replace values that are not finite"
    )]
    NotFinite {
        /// Where the inputs come from.
        file: String,
        /// Position of the sample.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// Bytes that are taken for brightness and are all but dark.
    #[error(
        "{file}: its bytes never exceed {largest}, and 255 is full brightness; save them as floats of the scale that the model was made for"
    )]
    DimBytes {
        /// Where the inputs come from.
        file: String,
        /// The largest byte.
        largest: u8,
    },
    /// A class that the model was not trained with.
    #[error(
        "{file}: the label {name:?} is none of the model's classes {known}; use data of the same classes"
    )]
    UnknownClass {
        /// Where the labels come from.
        file: String,
        /// The label.
        name: String,
        /// The classes of the model.
        known: String,
    },
    /// A text too short for a window.
    #[error(
        "a text of {tokens} tokens has no window of {length} at a stride of {stride}; both must be positive, and the text longer than a window"
    )]
    ShortText {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        length: usize,
        /// Tokens from one window's start to the next one's.
        stride: usize,
    },
    /// A data set without tensors, or a tensor without a sample axis.
    #[error("{what}; every tensor of a data set needs a leading axis that counts the samples")]
    NoSamples {
        /// What was given.
        what: String,
    },
    /// Tensors of one data set that count different numbers of samples.
    #[error(
        "tensor {position} holds {len} samples, tensor 0 holds {expected}; all tensors of a data set must have equal length"
    )]
    Ragged {
        /// Position of the tensor in the list.
        position: usize,
        /// Its number of samples.
        len: usize,
        /// Number of samples of the first tensor.
        expected: usize,
    },
    /// A sample with another number of tensors than the rest of its batch.
    #[error(
        "sample {index} consists of {got} tensors where {expected} are expected; every sample needs the same tensors, and at least one"
    )]
    SampleSize {
        /// Position of the sample.
        index: usize,
        /// Number of tensors it has.
        got: usize,
        /// Number of tensors that is needed.
        expected: usize,
    },
    /// A sample outside the data set.
    #[error(
        "sample {index} was asked of a data set of {len}; indices run from 0 to the length, exclusive"
    )]
    Index {
        /// The index asked for.
        index: usize,
        /// Number of samples.
        len: usize,
    },
    /// Batches of no samples.
    #[error("a batch size of 0 was asked for; use at least 1")]
    BatchSize,
    /// A split that leaves one side empty or asks for more than there is.
    #[error("{count} of {len} samples cannot be set apart; choose a number from 1 to {}", len.saturating_sub(1))]
    Split {
        /// Samples to set apart.
        count: usize,
        /// Samples there are.
        len: usize,
    },
    /// A parameter of a transform outside its domain.
    #[error("{transform}: {parameter} is {value}; {expected}")]
    Parameter {
        /// The transform.
        transform: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// An image that a transform cannot work on.
    #[error("{transform}: got an image of shape {shape:?}; {expected}")]
    Image {
        /// The transform.
        transform: &'static str,
        /// Shape of the image.
        shape: crate::tensor::Shape,
        /// What the transform needs.
        expected: String,
    },
    /// The data set's own code panicked.
    #[error("the data set panicked while a batch was made: {message}; the epoch ends here")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl crate::CustomError for DataError {}
