//! Matrix multiplication: one function for the whole library.
//!
//! It is our own, so that tests can force its instruction set, a weight can be packed once for many
//! products, and the number of threads never changes a bit. An element is one chain of multiply-adds
//! along k, or, where a row meets the adjacent columns of a large matrix, a dot product in sixteen sums; on every vector ISA
//! that is the same bits. What it was held against, in GFLOP/s of
//! one and of two threads of a Zen 4, `matrixmultiply` on one (medians of interleaved rounds; `cargo run --release -- gemm small`
//! in `benches/compare`, which gives times):
//!
//! | M x K x N | this | `gemm` 0.19, `x86-v4` | `rten-gemm` 0.27 | `matrixmultiply` 0.3.11 |
//! |---|---|---|---|---|
//! | 1024 x 1024 x 1024 | 105, 203 | 106, 211 | 97, 200 | 100 |
//! | 128 x 384 x 1536, B transposed | 106, 210 | 99, 179 | 97, 189 | 90 |
//! | 64 x 784 x 512, B transposed | 104, 198 | 90, 65 | 87, 168 | 79 |
//! | 1 x 4096 x 4096, B transposed | 13, 24 | 8.7, 8.4 | 7.3, 17 | 1.6 |
//! | 64 x 576 x 3136 | 103, 217 | 96, 219 | 91, 145 | 90 |
//!
//! Small ones, on one thread:
//!
//! | M x K x N | this | `gemm` | `rten-gemm` | `matrixmultiply` |
//! |---|---|---|---|---|
//! | 32 x 32 x 32 | 87 | 93 | 80 | 56 |
//! | 16 x 64 x 64 | 97 | 106 | 79 | 67 |
//! | 1 x 784 x 512, B transposed | 43 | 37 | 39 | 2.5 |
//! | 1 x 512 x 256, B transposed | 26 | 42 | 44 | 2.4 |
//! | 48 of 64 x 32 x 64, B transposed | 88 | 81 | 81 | 61 |
//! | 48 of 64 x 64 x 32 | 104 | 101 | 99 | 59 |
//!
//! The row by 512 x 256 is slower because it keeps the chain, where the others use dot products.

mod blocks;
mod columns;
mod matrix;
mod pack;
mod product;
mod schedule;
mod square;
#[cfg(test)]
mod tests;
mod tile;
mod unfold;
mod vector;

pub use matrix::{BatchDim, Matrix, MatrixMut};
pub use pack::{PackedA, PackedB};
pub use product::{Bias, Left, Right, Scaling};
pub(in crate::f32) use square::{HALF, SIDE};
pub(in crate::f32) use tile::{Lines, Panels, next_rows};
pub(in crate::f32) use unfold::SLACK;
pub use unfold::Unfolded;

use crate::Isa;

/// C = alpha A B + beta C + bias, then the ReLU if `scaling` asks for it.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::gemm::{Matrix, MatrixMut, Scaling, gemm};
///
/// let a = [1.0, 2.0, 3.0, 4.0];
/// let b = [5.0, 6.0, 7.0, 8.0];
/// let mut c = [0.0; 4];
/// let (left, right) = (Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2).t());
/// gemm(Isa::active(), left, right, MatrixMut::new(&mut c, 2, 2), &Scaling::default());
/// assert_eq!(c, [17.0, 23.0, 39.0, 53.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit: A is m x k, B is k x n, C is m x n, a bias has m or n values; or if A is
/// packed and alpha is not 1.
pub fn gemm<'a, 'b>(
    isa: Isa,
    a: impl Into<Left<'a>>,
    b: impl Into<Right<'b>>,
    c: MatrixMut<'_>,
    scaling: &Scaling<'_>,
) {
    schedule::run(isa, &[], a.into(), b.into(), c, scaling);
}

/// [`gemm`] for every index of a batch: `a`, `b` and `c` are the matrices at index 0, and `batch`
/// says how far the others are from them.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::gemm::{BatchDim, Matrix, MatrixMut, Scaling, gemm_batched};
///
/// // Two rows of two values, each times the same column.
/// let (a, b, mut c) = ([1.0, 2.0, 3.0, 4.0], [10.0, 1.0], [0.0; 2]);
/// let rows = BatchDim { len: 2, a_stride: 2, b_stride: 0, c_stride: 1 };
/// gemm_batched(
///     Isa::active(),
///     &[rows],
///     Matrix::new(&a, 1, 2),
///     Matrix::new(&b, 2, 1),
///     MatrixMut::new(&mut c, 1, 1),
///     &Scaling::default(),
/// );
/// assert_eq!(c, [12.0, 34.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit, a matrix of the batch leaves its slice, or two matrices of the batch
/// share an element of C.
pub fn gemm_batched<'a, 'b>(
    isa: Isa,
    batch: &[BatchDim],
    a: impl Into<Left<'a>>,
    b: impl Into<Right<'b>>,
    c: MatrixMut<'_>,
    scaling: &Scaling<'_>,
) {
    schedule::run(isa, batch, a.into(), b.into(), c, scaling);
}
