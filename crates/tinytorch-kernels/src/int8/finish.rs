//! The end of a product: bias, ReLU, quantizing where the output is `u8`, and writing.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and vector")]

use std::ops::Range;

use super::columns::COLUMNS;
use super::quantize::{Levels, quantize_lanes};
use crate::isa::Simd;
use crate::parallel::SharedOut;

/// The output.
#[derive(Copy, Clone)]
pub(super) enum Target {
    F32(SharedOut<f32>),
    U8(SharedOut<u8>, Levels),
}

impl Target {
    /// The output from element `index` on.
    ///
    /// # Safety
    /// The output has that element, or ends there.
    pub(super) unsafe fn skip(self, index: usize) -> Target {
        // SAFETY: the caller promises that the index lies inside the output or at its end.
        unsafe {
            match self {
                Target::F32(out) => Target::F32(out.skip(index)),
                Target::U8(out, levels) => Target::U8(out.skip(index), levels),
            }
        }
    }
}

/// Where results are written: row `i`, column `j` goes to element
/// `i * row_stride + (j - columns.start) * column_stride` if column `j` is one of `columns`.
#[derive(Clone)]
pub(super) struct Finish {
    pub(super) target: Target,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
    /// The rows of the weight whose results are wanted.
    pub(super) columns: Range<usize>,
    pub(super) relu: bool,
}

/// The part of a product that a tile computes.
pub(super) struct Place {
    pub(super) rows: Range<usize>,
    pub(super) first_column: usize,
    pub(super) width: usize,
}

/// Adds the bias, applies ReLU and writes a tile of which the first `place.rows.len()` rows and
/// `place.width` columns count.
#[inline(always)]
pub(super) fn write<S: Simd, const MR: usize, const NV: usize, const MASKED: bool>(
    s: S,
    mut y: [[S::F32; NV]; MR],
    finish: &Finish,
    bias: &[f32; COLUMNS],
    place: &Place,
) {
    for v in 0..NV {
        let bias = s.load(&bias[v * S::LANES..]);
        for row in &mut y {
            row[v] = s.add(row[v], bias);
            if finish.relu {
                row[v] = s.max(row[v], s.splat(0.0));
            }
        }
    }
    let columns = &finish.columns;
    let inside =
        columns.start <= place.first_column && place.first_column + place.width <= columns.end;
    if finish.column_stride == 1 && inside {
        write_rows::<S, MR, NV, MASKED>(s, &y, finish, place);
    } else {
        let mut tile = [[0.0; COLUMNS]; MR];
        for (y, row) in y.iter().zip(&mut tile) {
            for v in 0..NV {
                s.store(y[v], &mut row[v * S::LANES..]);
            }
        }
        write_columns(&tile, finish, place);
    }
}

/// Writes vectors, where the columns of the output lie side by side.
#[inline(always)]
fn write_rows<S: Simd, const MR: usize, const NV: usize, const MASKED: bool>(
    s: S,
    y: &[[S::F32; NV]; MR],
    finish: &Finish,
    place: &Place,
) {
    for r in 0..MR {
        // Rows beyond the last one repeat it, and write the same values to the same place.
        let row = place.rows.start + r.min(place.rows.len() - 1);
        let start = row * finish.row_stride + place.first_column - finish.columns.start;
        for v in 0..NV {
            let column = v * S::LANES;
            let lanes =
                if MASKED { place.width.saturating_sub(column).min(S::LANES) } else { S::LANES };
            if MASKED && lanes == 0 {
                continue;
            }
            match finish.target {
                Target::F32(out) => {
                    // SAFETY: the output holds the tile, and no other thread writes there.
                    let out = unsafe { out.slice(start + column, lanes) };
                    if MASKED { s.store_partial(y[r][v], out) } else { s.store(y[r][v], out) }
                }
                Target::U8(out, levels) => {
                    // SAFETY: as above.
                    let out = unsafe { out.slice(start + column, lanes) };
                    let q = quantize_lanes(s, y[r][v], levels);
                    if MASKED {
                        let mut low = [0; COLUMNS];
                        s.store_low_bytes(q, &mut low);
                        out.copy_from_slice(&low[..lanes]);
                    } else {
                        s.store_low_bytes(q, out);
                    }
                }
            }
        }
    }
}

/// Writes value by value, where columns lie apart or some of the tile's are not wanted.
fn write_columns<const MR: usize>(tile: &[[f32; COLUMNS]; MR], finish: &Finish, place: &Place) {
    let end = finish.columns.end.min(place.first_column + place.width);
    for column in finish.columns.start.max(place.first_column)..end {
        let first = place.rows.start * finish.row_stride
            + (column - finish.columns.start) * finish.column_stride;
        for (r, row) in tile.iter().enumerate().take(place.rows.len()) {
            let y = row[column - place.first_column];
            let index = first + r * finish.row_stride;
            match finish.target {
                // SAFETY: the output holds the tile, and no other thread writes there.
                Target::F32(out) => unsafe { out.at(index).write(y) },
                // SAFETY: as above.
                Target::U8(out, levels) => unsafe { out.at(index).write(levels.nearest(y)) },
            }
        }
    }
}
