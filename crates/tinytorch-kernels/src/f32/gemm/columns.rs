//! One row times a small matrix whose columns are contiguous, transposed on the way to the sums.

use super::matrix::Matrix;
use super::product::Product;
use super::square::{HALF, SIDE};
use crate::isa::{Kernel, Simd};
use std::ops::Range;

/// Columns whose sums are computed together. With 32, columns that are 2 KB apart evict each other from the L1
/// cache: 1 x 512 x 256 takes 1.6 times as long.
const TOGETHER: usize = 2 * SIDE;

/// Columns of a product with one row and without a factor, where the row and the columns of the
/// right-hand matrix are contiguous and each result is a chain.
///
/// Packing the columns, of which each value is used once, takes 1.5 to 1.9 times as long.
pub(super) struct RowTimesFewColumns<'a> {
    pub(super) product: &'a Product<'a>,
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) cols: Range<usize>,
    /// These columns of C.
    pub(super) c: &'a mut [f32],
}

impl Kernel for RowTimesFewColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, a, b, cols, c } = self;
        let k = a.cols();
        let row = &a.data_from(0, 0)[..k];
        product.start(0, cols.start, c);
        for (first, c) in cols.step_by(TOGETHER).zip(c.chunks_mut(TOGETHER)) {
            let mut columns = [&[][..]; TOGETHER];
            for (i, column) in columns.iter_mut().enumerate() {
                // The last few columns are filled up with the first of them.
                *column = &b.data_from(0, first + if i < c.len() { i } else { 0 })[..k];
            }
            let mut sums = [0.0; TOGETHER];
            sums[..c.len()].copy_from_slice(c);
            for p in add_squares(s, row, &columns, &mut sums)..k {
                let x = s.splat(row[p]);
                let values = columns.map(|column| column[p]);
                for i in (0..TOGETHER).step_by(S::LANES) {
                    let sum = s.mul_add(x, s.load(&values[i..]), s.load(&sums[i..]));
                    s.store(sum, &mut sums[i..]);
                }
            }
            c.copy_from_slice(&sums[..c.len()]);
        }
        product.finish(c);
    }
}

/// Adds the products of the row with the columns to the sums, as far as squares reach, and returns how
/// many elements that is.
#[inline(always)]
fn add_squares<S: Simd>(
    s: S,
    row: &[f32],
    columns: &[&[f32]; TOGETHER],
    sums: &mut [f32; TOGETHER],
) -> usize {
    /// Values of a cache line. All are used at once: a line that is evicted is not read again.
    const LINE: usize = 16;
    if !S::FAST {
        return 0;
    }
    for column in columns {
        assert!(column.len() == row.len());
    }
    let (lines, whole) = (row.len() / LINE * LINE, row.len() / HALF * HALF);
    // SAFETY: the sums are chunks of eight; `lines` and `whole` are at most the length of the row and of
    // each column.
    unsafe {
        let mut vectors = [s.splat_eight(0.0); TOGETHER / SIDE];
        for (vector, sums) in vectors.iter_mut().zip(sums.chunks_exact(SIDE)) {
            *vector = s.load_eight(sums.as_ptr());
        }
        for line in (0..lines).step_by(LINE) {
            for group in 0..TOGETHER / SIDE {
                let columns = &columns[group * SIDE..][..SIDE];
                for p in 0..LINE / HALF {
                    vectors[group] = add_half(s, row, columns, line + p * HALF, vectors[group]);
                }
            }
        }
        for p in (lines..whole).step_by(HALF) {
            for group in 0..TOGETHER / SIDE {
                let columns = &columns[group * SIDE..][..SIDE];
                vectors[group] = add_half(s, row, columns, p, vectors[group]);
            }
        }
        for (vector, sums) in vectors.into_iter().zip(sums.chunks_exact_mut(SIDE)) {
            s.store_eight(vector, sums.as_mut_ptr());
        }
    }
    whole
}

/// Adds the products of elements `p..p + HALF` of the row with those of the first [`SIDE`] columns.
///
/// # Safety
/// There are so many columns, and they and the row have these elements.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "an iterator over vectors would put them in memory")]
unsafe fn add_half<S: Simd>(
    s: S,
    row: &[f32],
    columns: &[&[f32]],
    p: usize,
    mut sums: S::Eight,
) -> S::Eight {
    // SAFETY: the caller's promise.
    unsafe {
        let values = s.transpose(columns, p);
        for i in 0..values.len() {
            sums = s.mul_add_eight(s.splat_eight(*row.get_unchecked(p + i)), values[i], sums);
        }
    }
    sums
}
