//! Kernels: numbers in, numbers out.
//!
//! The crate knows nothing of tensors, layers or models. It multiplies, convolves and quantizes
//! plain slices, and it is the only crate of the workspace that contains `unsafe`.
//!
//! * [`isa`]: which instruction set runs, as a value ([`Isa`]), and the vector operations that
//!   kernels are written over ([`isa::Simd`]).
//! * [`int8`]: quantizing, and products and convolutions of quantized matrices.
//! * [`mod@f32`]: products, convolutions, functions and reductions of floats.
//! * [`attention`]: a query over keys and values held as floats or int8.
//! * [`aligned`] and [`Scratch`]: memory on cache lines, and working memory that is used again.
//! * [`order`]: images turned from pixel by pixel to channel by channel.
//! * [`pool`]: the largest value of each window of an image.
//! * [`threads`]: from how much work on threads share a kernel.
//! * [`tuning`]: what each kernel promises, and the sizes of its tiles and blocks.
//! * [`peak`]: what the machine can do at most.
//! * [`os`]: bytes on the heap, bytes the process holds, whole files in memory.
//!
//! Int8 products and convolutions say which kernel ran ([`Ran`]).
//!
//! Every kernel takes an [`Isa`] as its first argument, so that a test or a user can force one.
//! Integer kernels return the same bits on every ISA and with any number of threads.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![allow(clippy::needless_range_loop, reason = "tiles are indexed by row and vector")]
#![allow(clippy::excessive_precision, reason = "coefficients stand as they were published")]
#![allow(clippy::mut_from_ref, reason = "threads write parts of one output that do not overlap")]

pub mod aligned;
pub mod attention;
pub mod f32;
pub mod int8;
pub mod isa;
pub mod order;
pub mod os;
mod pairs;
mod parallel;
pub mod peak;
pub mod pool;
mod ran;
mod scratch;
pub mod threads;
pub mod tuning;

pub use isa::{Isa, IsaError};
pub use ran::Ran;
pub use scratch::{Scratch, kept_by_threads};

/// The example of the README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
