#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![forbid(unsafe_code)]
//! What runs: tensors, int8 weights, ops with their derivatives, the graph they make, and the plan that
//! deploys it. Enough to load a model and run it; layers, training and quantizing are above, in `tinytorch`,
//! which re-exports all of this.
//!
//! The modules build on each other in this order: [`tensor`] and [`int8`] hold numbers, [`geometry`] says where
//! windows lie, [`graph`] and
//! [`autograd`] describe and record computations, [`ops`] and [`loss`] define them, [`module`] says what a
//! model is made of, and [`plan`] runs one.
//!
//! ```
//! use tinytorch_core::{Tensor, autograd::Ctx};
//! let mut ctx = Ctx::eval().recording();
//! let x = ctx.input(&Tensor::scalar(3.0));
//! let y = x.mul(&x, &mut ctx)?;
//! assert_eq!(ctx.backward(&y)?.of_input(&x).unwrap().item()?, 6.0);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

pub mod autograd;
mod error;
pub mod geometry;
pub mod graph;
pub mod int8;
pub mod loss;
pub mod module;
pub mod ops;
pub mod plan;
pub mod replace;
pub mod rng;
pub mod tensor;

pub use error::{CustomError, Error, Result};
pub use rng::Rng;
pub use tensor::Tensor;
pub use tinytorch_kernels::Isa;
pub use tinytorch_kernels::os::NotEnoughMemory;
