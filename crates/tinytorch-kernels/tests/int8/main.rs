//! The int8 kernels against plain arithmetic, on every instruction set that this CPU has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod conv;
mod float;
mod gemm;
mod reference;
