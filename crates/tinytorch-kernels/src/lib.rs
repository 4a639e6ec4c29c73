//! Kernels: numbers in, numbers out.

pub mod os;
