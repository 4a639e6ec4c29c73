use std::path::PathBuf;
use tinytorch::tensor::Shape;

/// What a command refuses beyond the library's own errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "{} is the float model itself, whose float weights would be gone; choose another --out, or add --force",
        path.display()
    )]
    OverInput { path: PathBuf },
    #[error(
        "static activations take their ranges from data; name some with --calibrate, or choose --activations dynamic"
    )]
    NoCalibration,
    #[error(
        "{data} holds samples of shape {got}, but the model takes {expected}; use data of the kind that the model was made for"
    )]
    SampleShape { data: String, got: Shape, expected: Shape },
    #[error("{data} holds no token ids as 64-bit integers, which is what the model takes")]
    NoIds { data: String },
    #[error("the model answers with shape {got} for one sample, which gives it no class")]
    NoClasses { got: Shape },
    #[error("{} holds int8 weights; name the float model that it was made from", path.display())]
    NotFloat { path: PathBuf },
    #[error("{} holds no int8 weights; make such a file with `tinytorch quantize`", path.display())]
    NotInt8 { path: PathBuf },
    #[error(
        "{} is of another architecture than {}; name the float model that the int8 model was made from",
        float.display(),
        int8.display()
    )]
    OtherArchitecture { float: PathBuf, int8: PathBuf },
}
