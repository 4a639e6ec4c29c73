use crate::autograd::AutogradError;
use crate::data::DataError;
use crate::graph::GraphError;
use crate::loss::LossError;
use crate::optim::OptimError;
use crate::tensor::TensorError;
use crate::train::TrainError;

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
    /// Targets of a loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A data set, a loader or a data file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A step of an optimizer.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// A training or its checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// The result of everything in tinytorch that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
