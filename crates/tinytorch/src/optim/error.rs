//! Why an optimizer refuses.

use crate::tensor::{Dtype, Shape};

/// Why an optimizer refused a step or a state; neither has changed anything then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimError {
    /// A parameter that should be trained took no part in the pass.
    #[error(
        "parameter {name} got no gradient; use it in the loss, freeze it, or check that the pass ran on this model and not on a clone of it"
    )]
    MissingGradient {
        /// Dotted name of the parameter.
        name: String,
    },
    /// A gradient of another shape than its parameter.
    #[error("the gradient of {name} has shape {got}, but the parameter has shape {expected}")]
    GradientShape {
        /// Dotted name of the parameter.
        name: String,
        /// Shape of the gradient.
        got: Shape,
        /// Shape of the parameter.
        expected: Shape,
    },
    /// A gradient that is NaN or infinite.
    #[error(
        "the gradient of {name} is {value} at element {element}; lower the learning rate, clip the gradients, or look for a division by zero in the loss"
    )]
    GradientNotFinite {
        /// Dotted name of the parameter.
        name: String,
        /// Position of the value, in row-major order.
        element: usize,
        /// The value.
        value: f32,
    },
    /// A parameter whose values have not been loaded.
    #[error("parameter {name} holds no values yet; load a checkpoint into the model first")]
    NotLoaded {
        /// Dotted name of the parameter.
        name: String,
    },
    /// A parameter or gradient that does not consist of floats.
    #[error("{name} is of type {got}, and only f32 can be trained; freeze it or convert it")]
    NotFloat {
        /// Dotted name of the parameter.
        name: String,
        /// Its element type.
        got: Dtype,
    },
    /// Two parameters of a model under one name, whose optimizer states could not be told apart.
    #[error("two parameters of the model are called {name}; give every field a name of its own")]
    DuplicateName {
        /// The dotted name.
        name: String,
    },
    /// A running statistic that does not fit its buffer.
    #[error(
        "the running statistic for {name} has shape {got}, but the buffer has shape {expected}"
    )]
    BufferShape {
        /// Dotted name of the buffer.
        name: String,
        /// Shape of the statistic.
        got: Shape,
        /// Shape of the buffer.
        expected: Shape,
    },
    /// A running statistic that is NaN or infinite.
    #[error(
        "the running statistic for {name} is {value}: the values before it have overflowed, and the training has diverged; lower the learning rate, or check the data for values that are not finite"
    )]
    BufferNotFinite {
        /// Dotted name of the buffer.
        name: String,
        /// The value.
        value: f32,
    },
    /// A hyper-parameter outside its range.
    #[error("{optimizer}: {setting} is {value:?}, but must be {expected}")]
    Setting {
        /// The optimizer or function.
        optimizer: &'static str,
        /// The hyper-parameter.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// The state of another kind of optimizer.
    #[error(
        "the saved state is of {got}, but this optimizer is {expected}; make one of the same kind"
    )]
    StateKind {
        /// Kind of the state.
        got: String,
        /// Kind of the optimizer.
        expected: &'static str,
    },
    /// The state of an optimizer with another hyper-parameter.
    #[error(
        "the saved state was made with {setting} = {saved:?}, but this optimizer has {current:?}; use the same, or start without the state"
    )]
    StateSetting {
        /// The hyper-parameter.
        setting: &'static str,
        /// Its value in the state.
        saved: f64,
        /// Its value in the optimizer.
        current: f64,
    },
    /// The state of another model.
    #[error("the saved state does not belong to this model: {name} {problem}")]
    StateTensor {
        /// Dotted name of the parameter.
        name: String,
        /// What does not fit.
        problem: String,
    },
}

impl crate::CustomError for OptimError {}
