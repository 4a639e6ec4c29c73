use crate::autograd::AutogradError;
use crate::graph::{GeometryError, GraphError};
use crate::loss::LossError;
use crate::ops::OpError;
use crate::tensor::TensorError;

/// Everything that can go wrong in tinytorch: one sentence that says what was wrong and what to do.
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
    /// The windows of a convolution or pool.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// An argument of an op.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Targets of a loss.
    #[error(transparent)]
    Loss(#[from] LossError),
}

/// The result of everything in tinytorch that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
