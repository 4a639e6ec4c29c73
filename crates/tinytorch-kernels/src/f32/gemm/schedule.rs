//! Which thread computes what. The result does not depend on it: see [`super::tile`].

use super::blocks::Rectangle;
use super::columns::RowTimesFewColumns;
use super::matrix::{BatchDim, Matrix, MatrixMut, check_c, check_factor};
use super::product::{Bias, Left, Product, Right, Scaling};
use super::vector::{RowTimesColumns, RowTimesMatrix};
use crate::Isa;
use crate::parallel::{SharedOut, share};
use crate::threads::{PACKING_COST, PRODUCT_F32, product_f32_operations};
use crate::tuning::{A_PANEL, B_PANEL};
use std::ops::Range;

/// Operations from which each thread gets two rectangles, so that a thread that is disturbed leaves
/// some to the others. Each rectangle packs its own rows of A, which smaller products feel: two threads
/// do 128 x 384 x 1536 at 195 GFLOP/s in two rectangles and at 170 in four.
const LARGE_WORK: usize = 250_000_000;

/// Values from which a matrix that one row meets is worth dot products. Smaller ones, such as the keys of
/// an attention head, give the bits that they give in any other layout.
pub(super) const LARGE_MATRIX: usize = 1 << 18;

pub(super) fn run(
    isa: Isa,
    batch: &[BatchDim],
    a: Left<'_>,
    b: Right<'_>,
    c: MatrixMut<'_>,
    scaling: &Scaling<'_>,
) {
    check(batch, a, b, &c, scaling);
    let count: usize = batch.iter().map(|dim| dim.len).product();
    if count == 0 || c.rows == 0 || c.cols == 0 {
        return;
    }
    let c_stride = c.row_stride;
    let as_row = Scaling { bias: scaling.bias.transposed(), ..*scaling };
    let (swapped, a, b, scaling) = match (a, b) {
        // A column is computed as a row, which leaves no tile mostly empty.
        (Left::Matrix(a), Right::Matrix(b)) if c.cols == 1 && (c_stride == 1 || c.rows == 1) => {
            (true, Left::Matrix(b.t()), Right::Matrix(a.t()), &as_row)
        }
        (a, b) => (false, a, b, scaling),
    };
    let first = Product { a, b, c: SharedOut::new(c.data), c_offset: 0, c_stride, scaling };

    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let work = product_f32_operations(m, k, n).saturating_mul(count);
    let threads = PRODUCT_F32.shares(work);
    let wanted = if work < LARGE_WORK { threads } else { 2 * threads };
    let (height, width) = rectangle(m, n, if threads == 1 { 1 } else { wanted.div_ceil(count) });
    let (down, across) = (m.div_ceil(height), n.div_ceil(width));
    let tasks = count * down * across;
    if tasks == 1 {
        // SAFETY: C is borrowed, and this is all of it.
        return unsafe { compute(isa, &first, 0..m, 0..n) };
    }
    share(tasks, threads, &|worker| {
        for task in worker {
            let (item, place) = (task / (down * across), task % (down * across));
            let (i, j) = (place / across * height, place % across * width);
            let product = at_index(&first, batch, item, swapped);
            // SAFETY: the rectangles of a product are disjoint, and so are the products of a batch.
            unsafe { compute(isa, &product, i..m.min(i + height), j..n.min(j + width)) };
        }
    });
}

fn check(batch: &[BatchDim], a: Left<'_>, b: Right<'_>, c: &MatrixMut<'_>, scaling: &Scaling<'_>) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    assert!(k == b.rows(), "A is {m} x {k}, so B must have {k} rows, not {}", b.rows());
    let fits = (c.rows, c.cols) == (m, n);
    assert!(fits, "the product is {m} x {n}, but C is {} x {}", c.rows, c.cols);
    let (given, wanted) = match scaling.bias {
        Bias::None => (0, 0),
        Bias::PerRow(bias) => (bias.len(), m),
        Bias::PerColumn(bias) => (bias.len(), n),
    };
    assert!(given == wanted, "the bias must have {wanted} values, not {given}");
    if let Left::Packed(_) = a {
        assert!(scaling.alpha == 1.0, "a packed A cannot be scaled");
    }
    // Each matrix was checked alone when it was made.
    if batch.iter().all(|dim| dim.len == 1) {
        return;
    }
    if let Left::Matrix(a) = a {
        check_factor("A", a, batch.iter().map(|dim| (dim.len, dim.a_stride)));
    }
    match b {
        Right::Matrix(b) => check_factor("B", b, batch.iter().map(|dim| (dim.len, dim.b_stride))),
        Right::Packed(_) => {}
        Right::Unfolded(b) => b.check(batch.iter().map(|dim| (dim.len, dim.b_stride))),
    }
    check_c(c, batch.iter().map(|dim| (dim.len, dim.c_stride)));
}

/// The size of the rectangles that `m` x `n` is cut into, about `wanted` of them: whole tiles, and
/// as square as that allows, since each packs its own rows of A and columns of B.
fn rectangle(m: usize, n: usize, wanted: usize) -> (usize, usize) {
    let sizes = (1..=wanted).map(|down| {
        let across = wanted.div_ceil(down);
        let height = m.div_ceil(down).next_multiple_of(A_PANEL);
        let width = n.div_ceil(across).next_multiple_of(B_PANEL);
        (height, width)
    });
    let cost = |&(height, width): &(usize, usize)| {
        (2 * height * width).saturating_add(PACKING_COST * (height + width))
    };
    sizes.min_by_key(cost).unwrap_or((m, n))
}

/// The product at an index of the batch, counted with the last dimension fastest.
fn at_index<'a>(
    first: &Product<'a>,
    batch: &[BatchDim],
    mut index: usize,
    swapped: bool,
) -> Product<'a> {
    let mut product = *first;
    let (mut a_offset, mut b_offset) = (0, 0);
    for dim in batch.iter().rev() {
        let i = index % dim.len;
        index /= dim.len;
        a_offset += i * dim.a_stride;
        b_offset += i * dim.b_stride;
        product.c_offset += i * dim.c_stride;
    }
    if swapped {
        (a_offset, b_offset) = (b_offset, a_offset);
    }
    product.a = product.a.at_offset(a_offset);
    product.b = product.b.at_offset(b_offset);
    product
}

fn is_large(b: Matrix<'_>) -> bool {
    b.rows() * b.cols() >= LARGE_MATRIX
}

/// # Safety
/// The rectangle lies inside of C, and nobody else uses it meanwhile.
unsafe fn compute(isa: Isa, product: &Product<'_>, rows: Range<usize>, cols: Range<usize>) {
    match (product.a, product.b) {
        (Left::Matrix(a), Right::Matrix(b)) if a.rows() == 1 && b.col_stride() == 1 => {
            // SAFETY: the caller's promise.
            let c = unsafe { product.row_of_c(0, cols.clone()) };
            isa.run(RowTimesMatrix { product, a, b, cols, c });
        }
        (Left::Matrix(a), Right::Matrix(b))
            if a.rows() == 1 && a.col_stride() == 1 && b.row_stride() == 1 && is_large(b) =>
        {
            // SAFETY: the caller's promise.
            let c = unsafe { product.row_of_c(0, cols.clone()) };
            isa.run(RowTimesColumns { product, a, b, cols, c });
        }
        (Left::Matrix(a), Right::Matrix(b))
            if a.rows() == 1
                && a.col_stride() == 1
                && b.row_stride() == 1
                && product.scaling.alpha == 1.0 =>
        {
            // SAFETY: the caller's promise.
            let c = unsafe { product.row_of_c(0, cols.clone()) };
            isa.run(RowTimesFewColumns { product, a, b, cols, c });
        }
        // SAFETY: the caller's promise.
        _ => unsafe { Rectangle { product, rows, cols }.compute(isa) },
    }
}
