//! What can go wrong when a pass is recorded.

use crate::tensor::Shape;

/// What can go wrong when a pass is recorded or its gradient taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AutogradError {
    /// A gradient would pass through an op that has no derivative.
    #[error("{op} has no derivative; use it outside the recorded pass, or detach its input")]
    NoDerivative {
        /// The op.
        op: &'static str,
    },
    /// A derivative asked for a value that the op did not save.
    #[error("{op} asked for a value that it did not save; extend its `saves`")]
    NotSaved {
        /// The op.
        op: &'static str,
    },
    /// A derivative has another shape than its input.
    #[error("{op}: the gradient of input {input} has shape {got} instead of {expected}")]
    GradientShape {
        /// The op.
        op: &'static str,
        /// Index of the input.
        input: usize,
        /// Shape of the gradient.
        got: Shape,
        /// Shape of the input.
        expected: Shape,
    },
    /// Backward from something that is not a single value.
    #[error(
        "backward starts from a single value, got shape {shape}; reduce it with `sum` or `mean`"
    )]
    NotScalar {
        /// Shape of the value.
        shape: Shape,
    },
    /// Backward from a value that no trainable parameter or input led to.
    #[error(
        "the value does not depend on any trainable parameter or tracked input of this pass, so it has no gradient"
    )]
    Untracked,
    /// Backward in a context that does not record.
    #[error(
        "this context does not record gradients; make it with `Ctx::train` or `Ctx::eval().recording()`"
    )]
    NotRecording,
    /// A value of another pass.
    #[error(
        "{op} was given a value from another pass; a pass ends with its backward, compute the value again"
    )]
    ForeignValue {
        /// The op, or `backward`.
        op: &'static str,
    },
    /// A parameter whose floats were asked for while it is stored as int8.
    #[error(
        "a weight of shape {shape} is stored as int8 and has no float form; only the layers that multiply int8 can use it"
    )]
    Int8Weight {
        /// Shape of the weight.
        shape: Shape,
    },
    /// A parameter that has not been loaded.
    #[error(
        "a parameter of shape {shape} holds no values yet; load a checkpoint into the model first"
    )]
    NotLoaded {
        /// Shape of the parameter.
        shape: Shape,
    },
    /// A numerical derivative disagrees with the op's own.
    #[error(
        "the gradient of input {input}, element {element}, is {analytic} but differences give {numeric}"
    )]
    Gradcheck {
        /// Index of the input.
        input: usize,
        /// Index of the element.
        element: usize,
        /// What backward gave.
        analytic: f32,
        /// What finite differences gave.
        numeric: f32,
    },
}
