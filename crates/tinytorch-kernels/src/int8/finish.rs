//! The end of a product: bias, ReLU, quantizing where the output is `u8`, and writing.

use std::ops::Range;

use super::columns::{COLUMNS, Columns};
use super::panels::PANEL;
use super::quantize::{Levels, quantize_lanes};
use super::{QParams, RowParams};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedIn, SharedOut};

/// The output.
#[derive(Copy, Clone)]
pub(super) enum Target {
    F32(SharedOut<f32>),
    /// Floats to which those at the same places of `plus` are added.
    Sum {
        out: SharedOut<f32>,
        plus: SharedIn<f32>,
    },
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
                Target::Sum { out, plus } => {
                    Target::Sum { out: out.skip(index), plus: plus.skip(index) }
                }
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

/// Rows of the highest tile.
pub(super) const ROWS: usize = 12;

/// The sums of a tile on their way from the accumulators to the epilogue, row by row.
#[repr(align(64))]
pub(super) struct Staged([[i32; COLUMNS]; ROWS]);

impl Staged {
    pub(super) fn new() -> Staged {
        Staged([[0; COLUMNS]; ROWS])
    }

    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [i32; COLUMNS] {
        &mut self.0[row]
    }
}

/// What is staged.
#[derive(Copy, Clone, PartialEq)]
pub(super) enum Stage {
    /// Integers: sums of products, without regard to zero points and scales.
    Sums,
    /// The bits of floats, which lack the scale of their row.
    Floats,
}

/// The epilogue of a tile: scales, bias, ReLU, quantizing, writing.
pub(super) struct FinishTile<'t, 'a> {
    pub(super) staged: &'t mut Staged,
    pub(super) stage: Stage,
    pub(super) columns: &'t Columns<'a>,
    pub(super) params: RowParams<'t>,
    pub(super) finish: &'t Finish,
    pub(super) place: Place,
}

impl Kernel for FinishTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Place { rows, first_column, width } = &self.place;
        let wanted = &self.finish.columns;
        let inside = wanted.start <= *first_column && first_column + width <= wanted.end;
        let side_by_side = self.finish.column_stride == 1 && inside;
        for (r, row) in rows.clone().enumerate() {
            let params = self.params.of(row);
            for column in (0..*width).step_by(S::LANES) {
                let y = self.rescaled(s, r, column, params);
                let y = s.add(y, s.load(&self.columns.bias[column..]));
                let is_sum = matches!(self.finish.target, Target::Sum { .. });
                let y = if self.finish.relu && !is_sum { s.max(y, s.splat(0.0)) } else { y };
                if side_by_side {
                    let start = row * self.finish.row_stride + first_column + column - wanted.start;
                    let lanes = S::LANES.min(width - column);
                    self.write_row(s, y, start, lanes);
                } else {
                    let value = match self.finish.target {
                        Target::F32(_) | Target::Sum { .. } => s.to_bits(y),
                        Target::U8(_, levels) => quantize_lanes(s, y, levels),
                    };
                    s.store_i32(value, &mut self.staged.0[r][column..]);
                }
            }
        }
        if !side_by_side {
            self.write_columns();
        }
    }
}

impl FinishTile<'_, '_> {
    /// `f32(sum - zero point * weight sum) * (row scale * column scale)`, or what blocks staged
    /// times the row scale.
    #[inline(always)]
    fn rescaled<S: Simd>(&self, s: S, r: usize, column: usize, params: QParams) -> S::F32 {
        let staged = s.load_i32(&self.staged.0[r][column..]);
        let row_scale = s.splat(params.scale);
        match self.stage {
            Stage::Sums => {
                let zero_point = s.splat_i32(i32::from(params.zero_point));
                let correction = s.mul_i32(zero_point, s.load_i32(&self.columns.sums[column..]));
                let scale = s.mul(row_scale, s.load(&self.columns.scales[column..]));
                s.mul(s.i32_to_f32(s.sub_i32(staged, correction)), scale)
            }
            Stage::Floats => s.mul(s.bits_to_f32(staged), row_scale),
        }
    }

    /// Writes `lanes` values of a row whose columns lie side by side.
    #[inline(always)]
    fn write_row<S: Simd>(&self, s: S, y: S::F32, start: usize, lanes: usize) {
        match self.finish.target {
            Target::F32(out) => {
                // SAFETY: the output holds the tile, and no other thread writes there.
                let out = unsafe { out.slice(start, lanes) };
                if lanes == S::LANES { s.store(y, out) } else { s.store_partial(y, out) }
            }
            Target::Sum { out, plus } => {
                // SAFETY: as above, and the sums' other terms are as many and only read.
                let (out, plus) = unsafe { (out.slice(start, lanes), plus.slice(start, lanes)) };
                if lanes == S::LANES {
                    s.store(self.positive(s, s.add(y, s.load(plus))), out);
                } else {
                    s.store_partial(self.positive(s, s.add(y, s.load_partial(plus))), out);
                }
            }
            Target::U8(out, levels) => {
                // SAFETY: as above.
                let out = unsafe { out.slice(start, lanes) };
                let q = quantize_lanes(s, y, levels);
                if lanes == S::LANES {
                    s.store_low_bytes(q, out);
                } else {
                    let mut low = [0; PANEL];
                    s.store_low_bytes(q, &mut low);
                    out.copy_from_slice(&low[..lanes]);
                }
            }
        }
    }

    /// The positive part of sums, if it is wanted.
    #[inline(always)]
    fn positive<S: Simd>(&self, s: S, y: S::F32) -> S::F32 {
        if self.finish.relu { s.max(s.splat(0.0), y) } else { y }
    }

    /// Writes value by value, where columns lie apart or some of the tile's are not wanted.
    #[inline(always)]
    fn write_columns(&self) {
        let (finish, place) = (self.finish, &self.place);
        let end = finish.columns.end.min(place.first_column + place.width);
        for column in finish.columns.start.max(place.first_column)..end {
            let first = place.rows.start * finish.row_stride
                + (column - finish.columns.start) * finish.column_stride;
            for (r, row) in self.staged.0.iter().enumerate().take(place.rows.len()) {
                let value = row[column - place.first_column];
                let index = first + r * finish.row_stride;
                match finish.target {
                    // SAFETY: the output holds the tile, and no other thread writes there.
                    Target::F32(out) => unsafe {
                        out.at(index).write(f32::from_bits(value.cast_unsigned()));
                    },
                    // SAFETY: as above, and the sums' other terms are as many and only read.
                    Target::Sum { out, plus } => unsafe {
                        let sum = f32::from_bits(value.cast_unsigned()) + plus.slice(index, 1)[0];
                        let sum = if self.finish.relu && 0.0 > sum { 0.0 } else { sum };
                        out.at(index).write(sum);
                    },
                    // SAFETY: as above.
                    Target::U8(out, _) => unsafe { out.at(index).write(value as u8) },
                }
            }
        }
    }
}
