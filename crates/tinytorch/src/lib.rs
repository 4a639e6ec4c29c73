#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![forbid(unsafe_code)]
//! A deep-learning framework, small enough to read, whose int8 is proven.
//!
//! The modules build on each other in this order: [`tensor`] and [`int8`] hold numbers, [`graph`] and
//! [`autograd`] run and record ops, [`ops`] and [`loss`] define them, [`nn`] makes layers of them and
//! [`models`] models of layers; [`data`] and [`text`] feed them, [`optim`] and [`train`] train them, [`files`] saves
//! them; [`compress`] makes them smaller, [`quant`] quantizes them and [`audit`] judges the result.
//!
//! ```
//! use tinytorch::{Rng, Tensor, autograd::{Ctx, Var}, models::Architecture, nn::{Forward, Init}};
//! use tinytorch::quant::{QuantConfig, quantize_model};
//!
//! let float = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
//! let images = Var::from(Tensor::rand([32, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(1))?);
//! let mut int8 = float.clone();
//! let report = quantize_model(&mut int8, [Ok(images.clone())], &QuantConfig::default())?;
//! assert!(3 * report.int8_bytes() < report.float_bytes());
//! assert_eq!(int8.forward(&images, &mut Ctx::eval())?.shape().dims(), [32, 10]);
//! # Ok::<(), tinytorch::Error>(())
//! ```

// `#[derive(Module)]` names this crate by its public path, here too.
extern crate self as tinytorch;

pub mod audit;
pub mod compress;
pub mod data;
pub mod files;
pub mod fit;
pub mod generate;
pub mod models;
pub mod nn;
pub mod optim;
pub mod prelude;
pub mod profile;
pub mod quant;
pub mod stats;
pub mod train;

pub use tinytorch_core::{
    CustomError, Error, Isa, NotEnoughMemory, Result, Rng, Tensor, autograd, graph, int8, loss,
    ops, plan, rng, tensor,
};
/// Counts what a program allocates: as its global allocator it lets the audit measure memory.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: tinytorch::CountingAllocator = tinytorch::CountingAllocator::new();
/// ```
pub use tinytorch_kernels::os::CountingAllocator;
pub use tinytorch_text as text;

/// The README's example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

/// That of the crate's own README as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct CrateReadme;
