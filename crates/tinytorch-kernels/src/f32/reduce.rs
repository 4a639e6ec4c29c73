//! Sums over arrays and columns, in an order that depends on the length alone.
//!
//! ```
//! use tinytorch_kernels::Isa;
//! use tinytorch_kernels::f32::reduce::{dot, sum};
//!
//! assert_eq!(sum(Isa::active(), &[1.0, 2.0, 3.0]), 6.0);
//! assert_eq!(dot(Isa::active(), &[1.0, 2.0], &[10.0, 1.0]), 12.0);
//! ```

use super::split::in_pieces;
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;
use crate::threads::REDUCE;
use std::ops::Range;

/// Partial sums in a chunk: element i goes to number i modulo this. Enough to keep four vectors of
/// sixteen lanes busy, and the same on every ISA, so that every ISA adds in the same order.
const LANES: usize = 64;
/// Values in a chunk; chunks are added up pairwise.
const CHUNK: usize = 1 << 13;

/// The sum of all values.
pub fn sum(isa: Isa, x: &[f32]) -> f32 {
    tree(isa, Values, x, x)
}

/// The sum of the squares of all values.
pub fn sum_of_squares(isa: Isa, x: &[f32]) -> f32 {
    tree(isa, Products, x, x)
}

/// The sum of `a[i] * b[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "both factors must have the same length");
    tree(isa, Products, a, b)
}

/// `out[j]` becomes the sum over all rows of `x[i][j]`, with as many columns as `out` has values.
///
/// # Panics
/// If `x` is not a whole number of rows.
pub fn column_sums(isa: Isa, x: &[f32], out: &mut [f32]) {
    let cols = out.len();
    assert!(x.len().is_multiple_of(cols.max(1)), "{} values are not rows of {cols}", x.len());
    let Some(rows) = x.len().checked_div(cols) else { return };
    let out = SharedOut::new(out);
    in_pieces(0..cols, REDUCE.items(rows).max(64), &|range: Range<usize>| {
        // SAFETY: the pieces are disjoint ranges of the columns.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(range.start), range.len()) };
        isa.run(ColumnSums { x, cols, first: range.start, out });
    });
}

/// What a sum adds up, with one value from each of two arrays.
pub(super) trait Term: Copy + Send + Sync {
    fn add<S: Simd>(self, s: S, sum: S::F32, a: S::F32, b: S::F32) -> S::F32;
}

/// a.
#[derive(Clone, Copy)]
pub(super) struct Values;

impl Term for Values {
    #[inline(always)]
    fn add<S: Simd>(self, s: S, sum: S::F32, a: S::F32, _: S::F32) -> S::F32 {
        s.add(sum, a)
    }
}

/// a b.
#[derive(Clone, Copy)]
pub(super) struct Products;

impl Term for Products {
    #[inline(always)]
    fn add<S: Simd>(self, s: S, sum: S::F32, a: S::F32, b: S::F32) -> S::F32 {
        s.mul_add(a, b, sum)
    }
}

struct LaneSum<'a, T> {
    term: T,
    a: &'a [f32],
    b: &'a [f32],
}

impl<T: Term> Kernel for LaneSum<'_, T> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        lane_sum(s, self.term, self.a, self.b)
    }
}

/// The sum over a chunk, or over a row, on one thread.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "sums and addresses share the index")]
pub(super) fn lane_sum<S: Simd, T: Term>(s: S, term: T, a: &[f32], b: &[f32]) -> f32 {
    let len = a.len();
    let b = &b[..len];
    let vectors = LANES / S::LANES;
    // As many as the narrowest vectors need.
    let mut sums = [s.splat(0.0); 16];
    let whole = len / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for v in 0..vectors {
            let at = i + v * S::LANES;
            sums[v] = term.add(s, sums[v], s.load(&a[at..]), s.load(&b[at..]));
        }
    }
    for v in 0..vectors {
        let at = whole + v * S::LANES;
        if at < len {
            let end = len.min(at + S::LANES);
            let (a, b) = (s.load_partial(&a[at..end]), s.load_partial(&b[at..end]));
            sums[v] = term.add(s, sums[v], a, b);
        }
    }
    let mut lanes = [0.0; LANES];
    for v in 0..vectors {
        s.store(sums[v], &mut lanes[v * S::LANES..]);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

fn tree<T: Term>(isa: Isa, term: T, a: &[f32], b: &[f32]) -> f32 {
    if a.len() <= CHUNK {
        return isa.run(LaneSum { term, a, b });
    }
    let middle = a.len().div_ceil(CHUNK) / 2 * CHUNK;
    let (a_left, a_right) = a.split_at(middle);
    let (b_left, b_right) = b.split_at(middle);
    let left = || tree(isa, term, a_left, b_left);
    let right = || tree(isa, term, a_right, b_right);
    let (left, right) =
        if REDUCE.is_shared(a.len()) { rayon::join(left, right) } else { (left(), right()) };
    left + right
}

/// The sums of the columns from `first` on.
struct ColumnSums<'a> {
    x: &'a [f32],
    cols: usize,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.out.fill(0.0);
        for row in self.x.chunks_exact(self.cols) {
            for (sum, x) in self.out.iter_mut().zip(&row[self.first..]) {
                *sum += x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 1000) as f32 * 0.01 - 4.5).collect()
    }

    #[test]
    fn sums_are_close_to_exact_and_equal_on_every_isa_and_any_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for len in
            [0, 1, 5, 15, 16, 17, 63, 64, 65, 200, CHUNK, CHUNK + 1, 2 * REDUCE.per_thread() + 77]
        {
            let x = values(len);
            let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
            let one = sum(Isa::Scalar, &x);
            assert!((f64::from(one) - exact).abs() <= 1e-6 * len as f64, "{one}, not {exact}");
            for isa in Isa::available() {
                assert_eq!(sum(isa, &x), one);
                assert_eq!(pool.install(|| sum(isa, &x)), one);
            }
        }
    }

    #[test]
    fn products_are_close_to_exact() {
        for len in [0, 1, 17, 129, 3 * CHUNK + 5] {
            let (a, b) = (values(len), values(len + 3));
            let exact: f64 =
                a.iter().zip(&b[3..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let squares: f64 = a.iter().map(|&a| f64::from(a).powi(2)).sum();
            for isa in Isa::available() {
                let tolerance = 1e-6 * squares.max(1.0);
                assert!((f64::from(dot(isa, &a, &b[3..])) - exact).abs() <= tolerance);
                assert!((f64::from(sum_of_squares(isa, &a)) - squares).abs() <= tolerance);
            }
        }
    }

    #[test]
    fn columns_are_summed_row_by_row() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for (rows, cols) in [(0, 3), (1, 1), (5, 17), (3000, 200)] {
            let x = values(rows * cols);
            let mut want = vec![0.0_f32; cols];
            for row in x.chunks_exact(cols) {
                want.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            for isa in Isa::available() {
                let mut got = vec![9.0; cols];
                pool.install(|| column_sums(isa, &x, &mut got));
                assert_eq!(got, want);
            }
        }
        column_sums(Isa::Scalar, &[], &mut []);
    }
}
