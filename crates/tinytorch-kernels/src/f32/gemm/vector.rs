//! One row times a matrix whose rows are contiguous: the matrix is read once, as a few streams.

use super::matrix::Matrix;
use super::product::Product;
use crate::isa::{Kernel, Simd};
use std::ops::Range;

/// Columns whose sums stay in the L1 cache while the rows of the matrix pass by.
const SPAN: usize = 4096;
/// Rows of the matrix in one pass over the sums: enough that reading and writing the sums does not
/// count, and no more streams than a hardware prefetcher follows.
const ROWS: usize = 8;

/// Columns of a product with one row, whose right-hand matrix has adjacent columns.
pub(super) struct RowTimesMatrix<'a> {
    pub(super) product: &'a Product<'a>,
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) cols: Range<usize>,
    /// These columns of C.
    pub(super) c: &'a mut [f32],
}

impl Kernel for RowTimesMatrix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, a, b, cols, c } = self;
        let (k, a_stride) = (a.cols(), a.col_stride());
        let a = a.data_from(0, 0);
        for (col, sums) in cols.step_by(SPAN).zip(c.chunks_mut(SPAN)) {
            product.start(0, col, sums);
            let mut p = 0;
            while p < k {
                let mut factors = [0.0; ROWS];
                let mut rows = [&[][..]; ROWS];
                let count = ROWS.min(k - p);
                for i in 0..count {
                    factors[i] = a[(p + i) * a_stride];
                    rows[i] = &b.data_from(p + i, col)[..sums.len()];
                }
                product.scale(&mut factors);
                if count == ROWS {
                    add_rows::<S, ROWS>(s, factors, rows, sums);
                } else {
                    for i in 0..count {
                        add_rows::<S, 1>(s, [factors[i]], [rows[i]], sums);
                    }
                }
                p += count;
            }
            product.finish(sums);
        }
    }
}

/// Adds `factors[i] * rows[i]` to the sums, in the order of `i`.
#[inline(always)]
fn add_rows<S: Simd, const N: usize>(s: S, factors: [f32; N], rows: [&[f32]; N], sums: &mut [f32]) {
    let len = sums.len();
    for row in rows {
        assert!(row.len() >= len);
    }
    let mut x = [s.splat(0.0); N];
    for i in 0..N {
        x[i] = s.splat(factors[i]);
    }
    let whole = len / S::LANES * S::LANES;
    for j in (0..whole).step_by(S::LANES) {
        // SAFETY: `j + LANES <= whole`, which is at most the length of the sums and of every row.
        unsafe {
            let mut sum = s.load_ptr(sums.as_ptr().add(j));
            for i in 0..N {
                sum = s.mul_add(x[i], s.load_ptr(rows[i].as_ptr().add(j)), sum);
            }
            s.store_ptr(sum, sums.as_mut_ptr().add(j));
        }
    }
    if whole < len {
        let mut sum = s.load_partial(&sums[whole..]);
        for i in 0..N {
            sum = s.mul_add(x[i], s.load_partial(&rows[i][whole..len]), sum);
        }
        s.store_partial(sum, &mut sums[whole..]);
    }
}
