use crate::data::DataError;
use crate::tensor::TensorError;

/// Everything that can go wrong in tinytorch: one sentence that says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A data set, a loader or a data file.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The result of everything in tinytorch that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
