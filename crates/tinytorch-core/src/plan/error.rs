//! What can go wrong with plans.

use crate::Error;
use crate::int8::Encoding;
use crate::tensor::{Dtype, Shape};

/// What can go wrong with a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A graph without a result.
    #[error("the graph has no output; declare it with `set_output` before compiling")]
    NoOutput,
    /// One result asked of a plan that has another number of them.
    #[error("the plan has {results} results where one is asked for; use `run_many`")]
    ResultCount {
        /// Results of the plan.
        results: usize,
    },
    /// Another number of outputs than the plan has.
    #[error("the plan has {expected} results, got memory for {got}")]
    OutputCount {
        /// Results of the plan.
        expected: usize,
        /// Outputs given.
        got: usize,
    },
    /// An output of another element type or shape than the result.
    #[error(
        "result {index} is {expected_dtype} of shape {expected}, got memory for {dtype} of shape {shape}; ask `output_shapes`"
    )]
    Output {
        /// Which result.
        index: usize,
        /// Its shape.
        expected: Shape,
        /// Its element type.
        expected_dtype: Dtype,
        /// The shape given.
        shape: Shape,
        /// The element type given.
        dtype: Dtype,
    },
    /// A step that reads levels after one that gives none, or others.
    #[error(
        "a step reads levels stored as {expected:?}, which the step before does not give; put a `Step::Quantize` of that encoding between them"
    )]
    NotQuantized {
        /// How the step's input has to be stored.
        expected: Encoding,
    },
    /// A result of the graph that is stored as levels.
    #[error("a result of the graph is stored as levels; put a `Step::Dequantize` before it")]
    EncodedOutput,
    /// Another number of inputs than the plan has.
    #[error("the plan takes {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the plan.
        expected: usize,
        /// Inputs given.
        got: usize,
    },
    /// An input of another element type or number of dimensions than the plan was compiled for.
    #[error(
        "the plan was compiled for {expected_dtype} inputs like {expected}, got {dtype} of shape {shape}; only sizes may differ"
    )]
    Input {
        /// Shape of the example that the plan was compiled with.
        expected: Shape,
        /// Its element type.
        expected_dtype: Dtype,
        /// The shape given.
        shape: Shape,
        /// The element type given.
        dtype: Dtype,
    },
    /// An input whose sizes do not fit the model.
    #[error("the plan cannot run on an input of shape {shape}: {source}")]
    Shape {
        /// The shape given.
        shape: Shape,
        /// What the op says that it does not fit.
        #[source]
        source: Box<Error>,
    },
    /// An input whose sizes do not fit a step that has sizes of the example that the plan was compiled
    /// with: the model read them off its input as numbers, where it could have let them follow.
    #[error(
        "the plan cannot run on an input of shape {shape}: {step} has fixed sizes, {sizes}, as they were when the model was traced ({source}); let them follow the input: `flatten`, `unflatten` or `reshape_to` with -1 instead of `reshape`, and `shape_of` instead of numbers read from `shape()`"
    )]
    FixedSizes {
        /// The shape given.
        shape: Shape,
        /// The op or the constant that has the sizes, and the layer it is in or comes after.
        step: String,
        /// Its sizes.
        sizes: Shape,
        /// What does not fit.
        #[source]
        source: Box<Error>,
    },
    /// Another number of values than the shape holds.
    #[error("{what} has {got} values but the shape {shape} needs {}; pass a slice of that length", shape.len())]
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The shape.
        shape: Shape,
    },
    /// A NaN or infinite input that an int8 layer was to quantize.
    #[error("the input is {value} at index {index}; an int8 layer takes finite values only")]
    NotFinite {
        /// Where in the input.
        index: usize,
        /// The value.
        value: f32,
    },
}
