use std::path::PathBuf;

/// What an audit refuses to judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Int8 weights where the float model should be.
    #[error("{} holds int8 weights; name the float model that it was made from", path.display())]
    NotFloat {
        /// The file.
        path: PathBuf,
    },
    /// No int8 weight where there should be some.
    #[error("{} holds no int8 weights; make such a file with `tinytorch quantize`", path.display())]
    NotInt8 {
        /// The file.
        path: PathBuf,
    },
    /// Two models that cannot have been made from each other.
    #[error(
        "{} is of another architecture than {}; name the float model that the int8 model was made from",
        float.display(),
        int8.display()
    )]
    OtherArchitecture {
        /// The float model's file.
        float: PathBuf,
        /// The int8 model's file.
        int8: PathBuf,
    },
}

impl crate::CustomError for AuditError {}
