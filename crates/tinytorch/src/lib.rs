#![forbid(unsafe_code)]
//! tinytorch: a deep-learning framework, small enough to read, whose int8 is proven.

pub mod data;
mod error;
pub mod rng;
pub mod tensor;

pub use error::{Error, Result};
pub use rng::Rng;
pub use tensor::Tensor;
