//! Kernels on `f32`.
//!
//! Floating-point sums depend on their order, so every kernel here fixes it: a result never depends
//! on the number of threads.

pub mod gemm;
