//! The one error type that passes through every crate.

use crate::autograd::AutogradError;
use crate::graph::{GeometryError, GraphError};
use crate::int8::Int8Error;
use crate::loss::LossError;
use crate::ops::OpError;
use crate::plan::PlanError;
use crate::tensor::TensorError;
use std::error::Error as StdError;
use tinytorch_kernels::os::NotEnoughMemory;

/// Everything that can go wrong: one sentence that says what was wrong and what to do.
///
/// What this crate reports has a variant. What crates above it report, or a layer, an op or an observer
/// from outside, is [`Error::Custom`]; [`Error::downcast_ref`] finds any of them by type.
///
/// ```
/// use tinytorch_core::{CustomError, Error, Result};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("no camera is connected; plug one in")]
/// struct NoCamera;
/// impl CustomError for NoCamera {}
///
/// fn look() -> Result<()> {
///     Err(NoCamera)?
/// }
/// assert!(look().unwrap_err().downcast_ref::<NoCamera>().is_some());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Recording a pass or taking its gradient.
    #[error(transparent)]
    Autograd(#[from] AutogradError),
    /// Building or reading a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An int8 weight.
    #[error(transparent)]
    Int8(#[from] Int8Error),
    /// The windows of a convolution or pool.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// An argument of an op.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Targets of a loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Compiling or running a plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An error of a pass, and where in the model the pass was; [`Error::without_place`] is the error
    /// itself. [`Forward::call`](crate::module::Forward::call) and all that runs a whole model give it.
    #[error("{} `{layer}`: {source}", if *after { "after layer" } else { "layer" })]
    InLayer {
        /// The dotted name of the layer.
        layer: String,
        /// Whether the layer was done, and what failed came after it without a parameter of its own.
        after: bool,
        /// What went wrong.
        source: Box<Error>,
    },
    /// What a crate above this one reports.
    #[error(transparent)]
    Custom(Box<dyn StdError + Send + Sync>),
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a crate above this one. Implementing it is all that `?` needs to pass it on as an
/// [`Error`].
pub trait CustomError: StdError + Send + Sync + 'static {}

impl<E: CustomError> From<E> for Error {
    fn from(error: E) -> Error {
        Error::Custom(Box::new(error))
    }
}

impl CustomError for NotEnoughMemory {}

impl Error {
    /// The error as the type that reported it, if it is of that type.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        let error: &(dyn StdError + 'static) = match self {
            Error::Tensor(error) => error,
            Error::Autograd(error) => error,
            Error::Graph(error) => error,
            Error::Int8(error) => error,
            Error::Geometry(error) => error,
            Error::Op(error) => error,
            Error::Loss(error) => error,
            Error::Plan(error) => error,
            Error::InLayer { source, .. } => return source.downcast_ref(),
            Error::Custom(error) => &**error,
        };
        error.downcast_ref()
    }

    /// The error of a crate above this one, by value.
    ///
    /// # Errors
    /// The error as it is, if it is of another type or one of this crate's own.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E> {
        match self {
            Error::Custom(error) => error.downcast().map(|error| *error).map_err(Error::Custom),
            Error::InLayer { layer, after, source } => source
                .downcast()
                .map_err(|source| Error::InLayer { layer, after, source: Box::new(source) }),
            own => Err(own),
        }
    }

    /// The error without the layer that it was met in.
    pub fn without_place(&self) -> &Error {
        if let Error::InLayer { source, .. } = self { source.without_place() } else { self }
    }

    /// The dotted name of the layer that the error was met in or after, if it is known.
    pub fn layer(&self) -> Option<&str> {
        if let Error::InLayer { layer, .. } = self { Some(layer) } else { None }
    }

    /// The error with the place in which it was met, instead of the one that it has. Errors of crates
    /// above this one and of plans say themselves what they are about, and stay as they are.
    pub(crate) fn in_layer(self, layer: &str, after: bool) -> Error {
        match self {
            Error::Custom(_) | Error::Plan(_) | Error::Loss(_) => self,
            Error::InLayer { source, .. } => source.in_layer(layer, after),
            own => Error::InLayer { layer: layer.to_string(), after, source: Box::new(own) },
        }
    }
}

impl From<tinytorch_kernels::int8::Int8Error> for Error {
    fn from(error: tinytorch_kernels::int8::Int8Error) -> Error {
        Error::Int8(error.into())
    }
}
