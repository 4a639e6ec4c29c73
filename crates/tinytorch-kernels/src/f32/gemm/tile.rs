//! The innermost loop: a few rows of A times a few vectors of B, with the sums in registers.

use crate::isa::{Kernel, Simd};
use crate::tuning::{A_PANEL, B_PANEL};

/// Panels of `W` lines: rows of packed A, or columns of B, packed or as they lie in memory.
#[derive(Clone, Copy)]
pub(in crate::f32) struct Panels<const W: usize> {
    /// The first element of the first panel's first line.
    pub(super) start: *const f32,
    /// Distance from a panel to the next.
    pub(super) stride: usize,
    /// Distance from an element of a line to the next.
    pub(super) step: usize,
}

impl<const W: usize> Panels<W> {
    /// Packed panels, `depth` elements deep.
    #[inline(always)]
    pub(super) fn packed(start: *const f32, depth: usize) -> Self {
        Self { start, stride: depth * W, step: W }
    }

    /// The first element of a line.
    #[inline(always)]
    pub(in crate::f32) fn line(self, line: usize) -> *const f32 {
        self.start.wrapping_add(line / W * self.stride + line % W)
    }
}

/// A block of A: packed, or a matrix as it lies in memory.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    Packed(Panels<A_PANEL>),
    Direct {
        /// The block's first element.
        start: *const f32,
        row_stride: usize,
        /// Distance from an element to the next of its row.
        step: usize,
    },
}

/// What the sums of a tile start from.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Zero,
    /// What the tile holds.
    Tile,
    /// A value for each row.
    PerRow(*const f32),
    /// A value for each column.
    PerColumn(*const f32),
}

/// A tile of C, or a copy of one.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) start: *mut f32,
    /// Distance from a row to the next.
    pub(super) stride: usize,
    /// Distance to the tile that comes next.
    pub(super) next: usize,
    pub(super) from: Start,
    /// Whether negative sums become 0.
    pub(super) relu: bool,
}

/// The product of `R` rows of A and `V` vectors of B, written to a tile.
///
/// Each element is one chain of multiply-adds in the order of k, whatever the tile's size, so tiles
/// decide the speed but never the result.
struct Tile<const R: usize, const V: usize, const PACKED: bool> {
    depth: usize,
    a: *const f32,
    /// Distances between the rows and between the elements of A, unless it is packed.
    a_strides: (usize, usize),
    b: Panels<B_PANEL>,
    col: usize,
    c: Sums,
}

/// Computes a tile, with the rows of A from `row` on and the columns of B from `col` on.
///
/// # Safety
/// `a` and the panels of `b` are `depth` elements long and hold the rows, if packed all of one panel,
/// and the vectors; `c` is valid for writing `R` rows of `V` vectors, and what the sums start from for
/// reading.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, const R: usize, const V: usize>(
    s: S,
    depth: usize,
    (a, row): (Rows, usize),
    (b, col): (Panels<B_PANEL>, usize),
    c: Sums,
) {
    match a {
        Rows::Packed(panels) => {
            let (a, a_strides) = (panels.line(row), (1, A_PANEL));
            s.call(Tile::<R, V, true> { depth, a, a_strides, b, col, c });
        }
        Rows::Direct { start, row_stride, step } => {
            let (a, a_strides) = (start.wrapping_add(row * row_stride), (row_stride, step));
            s.call(Tile::<R, V, false> { depth, a, a_strides, b, col, c });
        }
    }
}

impl<const R: usize, const V: usize, const PACKED: bool> Kernel for Tile<R, V, PACKED> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "rows, vectors and addresses share indices")]
    fn run<S: Simd>(self, s: S) {
        let Self { depth, mut a, a_strides, b, col, c } = self;
        let (row_stride, step) = if PACKED { (1, A_PANEL) } else { a_strides };
        let mut sums = [[s.splat(0.0); V]; R];
        let mut columns = [b.start; V];
        for v in 0..V {
            columns[v] = b.line(col + v * S::LANES);
        }
        for i in 0..R {
            for v in 0..V {
                let at = c.start.wrapping_add(i * c.stride + v * S::LANES);
                // SAFETY: `multiply`'s caller promises that what the sums start from is readable.
                sums[i][v] = unsafe {
                    match c.from {
                        Start::Zero => sums[i][v],
                        Start::Tile => s.load_ptr(at),
                        // A bias of -0 becomes 0, as in a tile that starts from what C holds.
                        Start::PerRow(values) => s.splat(0.0 + *values.add(i)),
                        Start::PerColumn(values) => {
                            s.add(s.splat(0.0), s.load_ptr(values.add(v * S::LANES)))
                        }
                    }
                };
                // Rows of C lie too far apart for the hardware to see a stream in them; this gains 5 % on
                // 1024 x 1024 x 1024.
                s.prefetch(at.wrapping_add(c.next));
            }
        }
        for _ in 0..depth {
            let mut vectors = [s.splat(0.0); V];
            for v in 0..V {
                // SAFETY: `multiply`'s caller promises `depth` rows of the vectors.
                vectors[v] = unsafe { s.load_ptr(columns[v]) };
                columns[v] = columns[v].wrapping_add(b.step);
            }
            for i in 0..R {
                // SAFETY: `multiply`'s caller promises `depth` elements of the rows.
                let x = s.splat(unsafe { *a.add(i * row_stride) });
                for v in 0..V {
                    sums[i][v] = s.mul_add(x, vectors[v], sums[i][v]);
                }
            }
            a = a.wrapping_add(step);
        }
        for i in 0..R {
            for v in 0..V {
                // This order leaves NaN as it is.
                let sum = if c.relu { s.max(s.splat(0.0), sums[i][v]) } else { sums[i][v] };
                // SAFETY: `multiply`'s caller promises that the tile is writable.
                unsafe { s.store_ptr(sum, c.start.add(i * c.stride + v * S::LANES)) };
            }
        }
    }
}
