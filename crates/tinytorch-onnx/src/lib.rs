#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![forbid(unsafe_code)]
//! ONNX files as models.
//!
//! [`OnnxModel::open`] maps a file, computes what depends on constants alone, and gives a
//! [`Module`](tinytorch_core::module::Module) and [`Forward`](tinytorch_core::module::Forward): its parameters are the
//! file's tensors under their own names, so it can be counted, trained, quantized and compiled as any other model.
//! What cannot run is named before anything does, all nodes at once.
//!
#![doc = include_str!("../README.md")]

mod apply;
mod bodies;
mod build;
mod error;
mod export;
mod file;
mod frame;
mod int8;
mod memory;
mod model;
mod node;
mod operators;
mod program;
pub mod proto;
#[cfg(feature = "models")]
mod rebuild;
mod report;
mod stream;
mod tensor;
#[cfg(feature = "models")]
mod translate;

pub use error::{MissingNode, OnnxError};
pub use export::{Exported, Form};
pub use int8::{AgainstFloat, Misreading, against_float, in_seven_bits};
pub use model::OnnxModel;
pub use program::{Dim, ValueInfo};
pub use report::Report;
