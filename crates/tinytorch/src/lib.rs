#![forbid(unsafe_code)]
//! tinytorch: a deep-learning framework, small enough to read, whose int8 is proven.

// `#[derive(Module)]` names this crate by its public path, here too.
extern crate self as tinytorch;

pub mod audit;
pub mod autograd;
pub mod data;
mod error;
pub mod graph;
pub mod int8;
pub mod io;
pub mod loss;
pub mod models;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod quant;
pub mod rng;
pub mod tensor;
pub mod text;
pub mod train;

pub use error::{Error, Result};
pub use rng::Rng;
pub use tensor::Tensor;
