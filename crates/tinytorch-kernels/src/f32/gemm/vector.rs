//! One row times a matrix whose rows or columns are contiguous: the matrix is read once, as a few
//! streams, and nothing is packed.

use super::matrix::Matrix;
use super::product::Product;
use crate::isa::{Kernel, Simd};
use crate::tuning::{AVX2, AVX512VNNI, SCALAR};
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

/// Partial sums of a dot product: element `p` is added to sum `p % PARTIAL`, whatever the ISA.
const PARTIAL: usize = 16;

/// Columns of a product with one row, where the row and the columns of the right-hand matrix are
/// contiguous: the outputs of a linear layer for one input.
///
/// Each result is a dot product in [`PARTIAL`] sums, which are then added as a balanced tree: the chain
/// of every other product would need the matrix transposed on the way, which halves the rate in the
/// L2 cache. Times alpha, it is added to what the element starts from.
pub(super) struct RowTimesColumns<'a> {
    pub(super) product: &'a Product<'a>,
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) cols: Range<usize>,
    /// These columns of C.
    pub(super) c: &'a mut [f32],
}

impl Kernel for RowTimesColumns<'_> {
    type Output = ();

    /// As many columns at a time as hardware follows, and as leaves AVX2 its sixteen registers.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match S::LANES {
            16 => self.by_columns::<S, { AVX512VNNI.product_f32.dots }, { PARTIAL / 16 }>(s),
            8 => self.by_columns::<S, { AVX2.product_f32.dots }, { PARTIAL / 8 }>(s),
            _ => self.by_columns::<S, { SCALAR.product_f32.dots }, { PARTIAL / 4 }>(s),
        }
    }
}

impl RowTimesColumns<'_> {
    #[inline(always)]
    fn by_columns<S: Simd, const N: usize, const PARTS: usize>(self, s: S) {
        let Self { product, a, b, cols, c } = self;
        let k = a.cols();
        let row = &a.data_from(0, 0)[..k];
        product.start(0, cols.start, c);
        let alpha = product.scaling.alpha;
        for (first, c) in cols.step_by(N).zip(c.chunks_mut(N)) {
            // The last few columns are filled up with the first of them.
            let columns: [&[f32]; N] = std::array::from_fn(
                #[inline(always)]
                |i| &b.data_from(0, first + if i < c.len() { i } else { 0 })[..k],
            );
            let dots = dots::<S, N, PARTS>(s, row, columns);
            c.iter_mut().zip(dots).for_each(|(c, dot)| *c += alpha * dot);
        }
        product.finish(c);
    }
}

/// The dot product of `row` with each of the columns, in `PARTS` vectors of partial sums.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "columns, sums and parts share indices")]
fn dots<S: Simd, const N: usize, const PARTS: usize>(
    s: S,
    row: &[f32],
    columns: [&[f32]; N],
) -> [f32; N] {
    assert!(PARTS * S::LANES == PARTIAL);
    let len = row.len();
    for column in columns {
        assert!(column.len() >= len);
    }
    let mut sums = [[s.splat(0.0); PARTS]; N];
    let whole = len / PARTIAL * PARTIAL;
    for p in (0..whole).step_by(PARTIAL) {
        for part in 0..PARTS {
            let at = p + part * S::LANES;
            // SAFETY: `at + LANES <= whole`, which is at most the length of the row and of every
            // column.
            unsafe {
                let x = s.load_ptr(row.as_ptr().add(at));
                for i in 0..N {
                    let column = s.load_ptr(columns[i].as_ptr().add(at));
                    sums[i][part] = s.mul_add(x, column, sums[i][part]);
                }
            }
        }
    }
    for part in 0..PARTS {
        let rest = len.min(whole + part * S::LANES)..len.min(whole + (part + 1) * S::LANES);
        if !rest.is_empty() {
            let x = s.load_partial(&row[rest.clone()]);
            for i in 0..N {
                let column = s.load_partial(&columns[i][rest.clone()]);
                sums[i][part] = s.mul_add(x, column, sums[i][part]);
            }
        }
    }
    // A tree over the partial sums, with constant bounds so that they stay in registers.
    for sums in &mut sums {
        for part in 0..PARTS / 2 {
            sums[part] = s.add(sums[part], sums[part + PARTS / 2]);
        }
        for part in 0..PARTS / 4 {
            sums[part] = s.add(sums[part], sums[part + PARTS / 4]);
        }
    }
    // Not `map`: a closure that it does not inline has none of the ISA's instructions.
    let mut dots = [0.0; N];
    for i in 0..N {
        dots[i] = s.sum(sums[i][0]);
    }
    dots
}
