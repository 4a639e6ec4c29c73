use crate::tensor::TensorError;
use crate::text::TextError;

/// Everything that can go wrong in tinytorch: one sentence that says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Text, tokens or a tokenizer file.
    #[error(transparent)]
    Text(#[from] TextError),
}

/// The result of everything in tinytorch that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
