//! Kernels on `f32`.
//!
//! Floating-point sums depend on their order, so every kernel here fixes it: the number of threads
//! never changes a bit of a result. On AVX2 and AVX-512 the bits are the same too, except where a
//! function says otherwise; the portable ISA has no fused multiply-add and differs in the last
//! place.
//!
//! * [`gemm`](mod@gemm): matrix products.
//! * [`map`](map()) and [`zip`](zip()): [`functions`] of each value, and of pairs, with derivatives.
//! * [`conv`]: convolutions and their gradients; [`pool`]: averages of windows; [`squares`]: the
//!   gradient of the largest of four.
//! * [`Bounds`]: what outputs of products and convolutions are kept between.
//! * [`reduce`]: sums and products of whole arrays and of columns.
//! * [`rows`]: softmax and normalization of each row.
//! * [`optimizer`]: the update steps of SGD and Adam.

mod bounds;
pub mod conv;
pub mod functions;
pub mod gemm;
mod map;
pub mod optimizer;
pub mod pool;
pub mod reduce;
pub mod rows;
mod split;
pub mod squares;
#[cfg(test)]
mod testing;

pub use bounds::Bounds;
pub use map::{Function, PairFunction, map, map_backward, map_in_place, zip, zip_in_place};
