//! The innermost loop: a few rows of A times a few vectors of B, with the sums in registers.

use crate::isa::Simd;

/// Columns in a panel of packed B, the same on every ISA: the lanes of the widest vector.
pub(super) const PANEL: usize = 16;
/// The most rows of a tile on any ISA.
pub(super) const MAX_ROWS: usize = 8;
/// The most columns of a tile on any ISA.
pub(super) const MAX_COLS: usize = 48;

/// Columns of packed B.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    /// Row 0 of the first panel.
    pub(super) start: *const f32,
    /// Distance from a panel to the next.
    pub(super) stride: usize,
}

impl Panels {
    /// The columns from `col` on.
    #[inline(always)]
    pub(super) fn from_col(self, col: usize) -> Self {
        let offset = col / PANEL * self.stride + col % PANEL;
        Self { start: self.start.wrapping_add(offset), ..self }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub(super) fn from_row(self, row: usize) -> Self {
        Self { start: self.start.wrapping_add(row * PANEL), ..self }
    }
}

/// A tile of C, or a copy of one.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) start: *mut f32,
    /// Distance from a row to the next.
    pub(super) stride: usize,
    /// Whether to add to the tile rather than to overwrite it.
    pub(super) accumulate: bool,
}

/// Adds the product of `R` packed rows of A and `V` vectors of packed B to a tile.
///
/// Each element is one chain of multiply-adds in the order of k, whatever the tile's size, so tiles
/// decide the speed but never the result.
///
/// # Safety
/// `a` holds `depth` groups of `A_WIDTH` values, of which the first `R` are used; `b` starts at a
/// column that is a multiple of the lanes and holds `depth` rows of `V` vectors; `c` is valid for
/// writing, and reading if it accumulates, `R` rows of `V` vectors.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, const A_WIDTH: usize, const R: usize, const V: usize>(
    s: S,
    depth: usize,
    mut a: *const f32,
    b: Panels,
    c: Sums,
) {
    let mut sums = [[s.splat(0.0); V]; R];
    let mut columns = [b.start; V];
    for v in 0..V {
        columns[v] = b.from_col(v * S::LANES).start;
    }
    for i in 0..R {
        for v in 0..V {
            let at = c.start.wrapping_add(i * c.stride + v * S::LANES);
            if c.accumulate {
                // SAFETY: the caller promises that the tile is readable.
                sums[i][v] = unsafe { s.load_ptr(at) };
            }
            prefetch(at.wrapping_add(V * S::LANES));
        }
    }
    for _ in 0..depth {
        let mut row = [s.splat(0.0); V];
        for v in 0..V {
            // SAFETY: the caller promises `depth` rows.
            row[v] = unsafe { s.load_ptr(columns[v]) };
            columns[v] = columns[v].wrapping_add(PANEL);
        }
        for i in 0..R {
            // SAFETY: the caller promises `depth` groups of at least `R` values.
            let x = s.splat(unsafe { *a.add(i) });
            for v in 0..V {
                sums[i][v] = s.mul_add(x, row[v], sums[i][v]);
            }
        }
        a = a.wrapping_add(A_WIDTH);
    }
    for i in 0..R {
        for v in 0..V {
            // SAFETY: the caller promises that the tile is writable.
            unsafe { s.store_ptr(sums[i][v], c.start.add(i * c.stride + v * S::LANES)) };
        }
    }
}

/// Asks for the cache line of the tile to the right, which comes next. Rows of C lie too far apart
/// for the hardware to see a stream in them; this gains 5 % on 1024 x 1024 x 1024.
#[inline(always)]
fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has the instruction, and a prefetch of a wrong address is no access.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
