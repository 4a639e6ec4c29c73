//! The innermost loop: a few rows of A times a few vectors of B, with the sums in registers.

use crate::f32::Bounds;
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
    pub(in crate::f32) fn packed(start: *const f32, depth: usize) -> Self {
        Self { start, stride: depth * W, step: W }
    }

    /// The first element of a line.
    #[inline(always)]
    pub(in crate::f32) fn line(self, line: usize) -> *const f32 {
        self.start.wrapping_add(line / W * self.stride + line % W)
    }
}

/// Rows of a tile that one pointer serves: a panel of A, or two, where the tile may cross from one panel to the
/// next.
const fn rows_of_pointer(rows: usize) -> usize {
    match rows {
        A_PANEL => A_PANEL,
        1 => 1,
        _ => 2,
    }
}

/// `R` lines of packed A side by side, as pointers to their next elements; those that
/// [`rows_of_pointer`] makes needless the compiler leaves out.
#[derive(Clone, Copy)]
pub(in crate::f32) struct Lines<const R: usize>([*const f32; R]);

impl<const R: usize> Lines<R> {
    /// The lines from `first` on, which is even where a tile may cross to the next panel.
    #[inline(always)]
    pub(in crate::f32) fn packed(panels: Panels<A_PANEL>, first: usize) -> Self {
        let mut lines = [panels.line(first); R];
        for i in 0..R {
            lines[i] = panels.line(first + i);
        }
        Self(lines)
    }

    /// The next element of line `i`.
    #[inline(always)]
    pub(in crate::f32) fn packed_at(&self, i: usize) -> *const f32 {
        let lead = i - i % rows_of_pointer(R);
        self.0[lead].wrapping_add(i - lead)
    }

    /// Moves all lines on by an element that lies `step` values further.
    #[inline(always)]
    pub(in crate::f32) fn advance(&mut self, step: usize) {
        for line in &mut self.0 {
            *line = line.wrapping_add(step);
        }
    }
}

/// Rows of the next of the tiles, of at most `R` rows each, that `left` rows are cut into: six and two would
/// take the two as long as four take.
#[inline(always)]
pub(in crate::f32) const fn next_rows<const R: usize>(left: usize) -> usize {
    match left {
        7 | 8 if R == 6 => 4,
        _ if left < R => left,
        _ => R,
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
    pub(super) bounds: Bounds,
}

/// The product of `R` rows of A and `V` vectors of B, written to a tile.
///
/// Each element is one chain of multiply-adds in the order of k, whatever the tile's size, so tiles
/// decide the speed but never the result.
struct Tile<const R: usize, const V: usize, const PACKED: bool> {
    depth: usize,
    /// If A is not packed, only the first row's counts.
    a: Lines<R>,
    /// Distances between the rows and between the elements of A, unless it is packed.
    a_strides: (usize, usize),
    b: Panels<B_PANEL>,
    col: usize,
    /// A panel of B that is needed later; null if none is.
    later: *const f32,
    c: Sums,
}

/// Computes a tile, with the rows of A from `row` on and the columns of B from `col` on.
///
/// # Safety
/// `a` and the panels of `b` are `depth` elements long and hold the rows, if packed all of one panel,
/// and the vectors; `later` may be any address; `c` is valid for writing `R` rows of `V` vectors, and what the sums start from for
/// reading.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, const R: usize, const V: usize>(
    s: S,
    depth: usize,
    (a, row): (Rows, usize),
    (b, col): (Panels<B_PANEL>, usize),
    later: *const f32,
    c: Sums,
) {
    match a {
        Rows::Packed(panels) => {
            let (a, a_strides) = (Lines::packed(panels, row), (1, A_PANEL));
            s.call(Tile::<R, V, true> { depth, a, a_strides, b, col, later, c });
        }
        Rows::Direct { start, row_stride, step } => {
            let first = start.wrapping_add(row * row_stride);
            let (a, a_strides) = (Lines([first; R]), (row_stride, step));
            s.call(Tile::<R, V, false> { depth, a, a_strides, b, col, later, c });
        }
    }
}

impl<const R: usize, const V: usize, const PACKED: bool> Kernel for Tile<R, V, PACKED> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "rows, vectors and addresses share indices")]
    fn run<S: Simd>(self, s: S) {
        let Self { depth, mut a, a_strides, b, col, later, c } = self;
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
        // A line of the first column again and again costs 1 % where all is in the caches; a loop of its own without
        // it cost 2 to 6 % there.
        let (mut later, line) = if later.is_null() { (columns[0], 0) } else { (later, B_PANEL) };
        for _ in 0..depth {
            s.prefetch_to_l2(later);
            later = later.wrapping_add(line);
            let mut vectors = [s.splat(0.0); V];
            for v in 0..V {
                // SAFETY: `multiply`'s caller promises `depth` rows of the vectors.
                vectors[v] = unsafe { s.load_ptr(columns[v]) };
                columns[v] = columns[v].wrapping_add(b.step);
            }
            for i in 0..R {
                // SAFETY: `multiply`'s caller promises `depth` elements of the rows.
                let x = s.splat(unsafe {
                    *if PACKED { a.packed_at(i) } else { a.0[0].wrapping_add(i * row_stride) }
                });
                for v in 0..V {
                    sums[i][v] = s.mul_add(x, vectors[v], sums[i][v]);
                }
            }
            a.advance(step);
        }
        for i in 0..R {
            for v in 0..V {
                let sum = c.bounds.apply(s, sums[i][v]);
                // SAFETY: `multiply`'s caller promises that the tile is writable.
                unsafe { s.store_ptr(sum, c.start.add(i * c.stride + v * S::LANES)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of each tile that `rows` rows are cut into.
    fn tiles<const R: usize>(rows: usize) -> Vec<usize> {
        let (mut tiles, mut left) = (Vec::new(), rows);
        while left > 0 {
            tiles.push(next_rows::<R>(left));
            left -= tiles[tiles.len() - 1];
        }
        tiles
    }

    #[test]
    fn tiles_are_as_high_as_they_can_be_and_none_of_six_leaves_two() {
        assert_eq!(tiles::<6>(16), [6, 6, 4]);
        assert_eq!(tiles::<6>(20), [6, 6, 4, 4]);
        assert_eq!(tiles::<6>(13), [6, 4, 3]);
        assert_eq!(tiles::<8>(20), [8, 8, 4]);
        assert_eq!(tiles::<4>(3), [3]);
    }

    #[test]
    fn tiles_of_six_start_at_even_rows_and_end_in_panels_that_exist() {
        for rows in 1..200usize {
            let mut first = 0;
            for height in tiles::<6>(rows) {
                assert!(first % 2 == 0, "{rows} rows");
                let computed = match height {
                    3 => 4,
                    5 => 6,
                    height => height,
                };
                assert!(first + computed <= rows.next_multiple_of(A_PANEL), "{rows} rows");
                first += height;
            }
            assert_eq!(first, rows);
        }
    }

    #[test]
    fn lines_of_packed_rows_lie_where_packing_puts_them() {
        fn check<const R: usize>(first: usize) {
            let values = [0.0; 5 * 3 * A_PANEL];
            let panels = Panels::<A_PANEL>::packed(values.as_ptr(), 5);
            let mut lines = Lines::<R>::packed(panels, first);
            lines.advance(A_PANEL);
            for line in first..first + R {
                let place = line / A_PANEL * 5 * A_PANEL + A_PANEL + line % A_PANEL;
                assert_eq!(lines.packed_at(line - first), values[place..].as_ptr());
            }
        }
        check::<8>(8);
        check::<6>(6);
        check::<4>(6);
        check::<2>(14);
        check::<1>(12);
    }
}
