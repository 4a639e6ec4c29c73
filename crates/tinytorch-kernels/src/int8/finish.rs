//! The end of a product: bias, ReLU, quantizing where the output is `u8`, and writing.

use std::ops::Range;

use super::QParams;
use super::columns::{COLUMNS, Columns};
use super::levels::{Levels, quantize_lanes};
use super::operands::{Output, RowParams};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedIn, SharedOut};
use crate::tuning::{MOST_INT8, PANEL};

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
    /// Where a kernel that has this output writes.
    pub(super) fn of(output: &mut Output<'_>) -> Target {
        match output {
            Output::F32(data) => Target::F32(SharedOut::new(data)),
            Output::Sum { data, plus } => {
                Target::Sum { out: SharedOut::new(data), plus: SharedIn::new(plus) }
            }
            Output::U8 { data, params } => Target::U8(SharedOut::new(data), params.levels()),
        }
    }

    /// Whether floats are written.
    pub(super) fn is_float(&self) -> bool {
        !matches!(self, Target::U8(..))
    }

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
pub(super) const ROWS: usize = MOST_INT8.0;

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

/// The epilogue of a tile: scales, bias, ReLU, quantizing, writing.
///
/// Staged are sums of products, without regard to zero points and scales; with `BLOCKS` the bits of
/// floats, which lack the scale of their row.
pub(super) struct FinishTile<'t, 'a, const BLOCKS: bool> {
    pub(super) staged: &'t mut Staged,
    pub(super) columns: &'t Columns<'a>,
    pub(super) params: RowParams<'t>,
    /// Where weights have zero points, what the activations of each row add up to, less theirs; otherwise nothing.
    pub(super) level_sums: &'t [i32],
    pub(super) finish: &'t Finish,
    pub(super) place: Place,
}

impl<const BLOCKS: bool> Kernel for FinishTile<'_, '_, BLOCKS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Place { first_column, width, .. } = self.place;
        let wanted = &self.finish.columns;
        let inside = wanted.start <= first_column && first_column + width <= wanted.end;
        if self.finish.column_stride != 1 || !inside {
            self.write::<S, false>(s, None);
            self.write_columns();
        } else if width.is_multiple_of(S::LANES) {
            self.write::<S, true>(s, Some(first_column - wanted.start));
        } else {
            self.write::<S, false>(s, Some(first_column - wanted.start));
        }
    }
}

impl<const BLOCKS: bool> FinishTile<'_, '_, BLOCKS> {
    /// Writes results to where they lie side by side from `column` of the output on, or else leaves them
    /// where they were staged. `WHOLE` if the tile's columns fill vectors, which spares a choice for each.
    #[inline(always)]
    fn write<S: Simd, const WHOLE: bool>(&mut self, s: S, column: Option<usize>) {
        let width = self.place.width;
        let Finish { target, row_stride, relu, .. } = *self.finish;
        let start = self.place.rows.start * row_stride;
        let lanes = |column: usize| if WHOLE { S::LANES } else { S::LANES.min(width - column) };
        let place = |r: usize, at: usize| column.map(|first| start + r * row_stride + first + at);
        match target {
            Target::F32(out) => self.for_each(
                s,
                #[inline(always)]
                |staged, r, column, y| {
                    let y = if relu { s.max(y, s.splat(0.0)) } else { y };
                    let Some(index) = place(r, column) else {
                        return s.store_i32(s.to_bits(y), staged);
                    };
                    // SAFETY: the output holds the tile, and no other thread writes there.
                    let out = unsafe { out.slice(index, lanes(column)) };
                    if out.len() == S::LANES { s.store(y, out) } else { s.store_partial(y, out) }
                },
            ),
            Target::Sum { out, plus } => self.for_each(
                s,
                #[inline(always)]
                |staged, r, column, y| {
                    let Some(index) = place(r, column) else {
                        return s.store_i32(s.to_bits(y), staged);
                    };
                    // SAFETY: as above, and the sums' other terms are as many and only read.
                    let (out, plus) = unsafe {
                        (out.slice(index, lanes(column)), plus.slice(index, lanes(column)))
                    };
                    if out.len() == S::LANES {
                        s.store(relu_of(s, s.add(y, s.load(plus)), relu), out);
                    } else {
                        let y = s.add(y, s.load_partial(plus));
                        s.store_partial(relu_of(s, y, relu), out);
                    }
                },
            ),
            Target::U8(out, levels) => {
                let levels = if relu { levels.without_negative() } else { levels };
                self.for_each(
                    s,
                    #[inline(always)]
                    |staged, r, column, y| {
                        let q = quantize_lanes(s, y, levels);
                        let Some(index) = place(r, column) else {
                            return s.store_i32(q, staged);
                        };
                        // SAFETY: as above.
                        let out = unsafe { out.slice(index, lanes(column)) };
                        if out.len() == S::LANES {
                            s.store_low_bytes(q, out);
                        } else {
                            let mut low = [0; PANEL];
                            s.store_low_bytes(q, &mut low);
                            out.copy_from_slice(&low[..out.len()]);
                        }
                    },
                );
            }
        }
    }
}

/// The positive part, if it is wanted; as the op ReLU does it, which keeps NaN.
#[inline(always)]
pub(super) fn relu_of<S: Simd>(s: S, y: S::F32, wanted: bool) -> S::F32 {
    if wanted { s.max(s.splat(0.0), y) } else { y }
}

/// What turns staged numbers of some columns into floats:
/// `f32(sum - zero point * weight sum - level sum * weight's zero point) * (row scale * column scale)`, or what
/// blocks staged times the row scale.
struct Rescale<S: Simd> {
    correction: S::I32,
    scale: S::F32,
}

impl<const BLOCKS: bool> FinishTile<'_, '_, BLOCKS> {
    /// Calls `write` with what is staged, the row within the tile, the first column, and the rescaled
    /// values with their bias.
    // Columns come first, so that a vector of scales serves all rows.
    #[inline(always)]
    fn for_each<S: Simd>(&mut self, s: S, write: impl Fn(&mut [i32], usize, usize, S::F32)) {
        let rows = self.place.rows.clone();
        let per_row = !matches!(self.params, RowParams::Tensor(_) | RowParams::Tensor16(_));
        for column in (0..self.place.width).step_by(S::LANES) {
            let bias = s.load(&self.columns.bias.0[column..]);
            let zero_points = s.load_i32(&self.columns.zero_points.0[column..]);
            let mut rescale = self.rescale(s, column, self.params.of(rows.start));
            for r in 0..rows.len().min(ROWS) {
                if per_row && r > 0 {
                    rescale = self.rescale(s, column, self.params.of(rows.start + r));
                }
                let staged = &mut self.staged.0[r][column..];
                let number = s.load_i32(staged);
                let number = if BLOCKS {
                    s.bits_to_f32(number)
                } else {
                    let mut sum = s.sub_i32(number, rescale.correction);
                    if let Some(&level_sum) = self.level_sums.get(rows.start + r) {
                        sum = s.sub_i32(sum, s.mul_i32(s.splat_i32(level_sum), zero_points));
                    }
                    s.i32_to_f32(sum)
                };
                write(staged, r, column, s.add(s.mul(number, rescale.scale), bias));
            }
        }
    }

    #[inline(always)]
    fn rescale<S: Simd>(&self, s: S, column: usize, params: QParams) -> Rescale<S> {
        let (zero_point, scale) =
            (s.splat_i32(i32::from(params.zero_point)), s.splat(params.scale));
        if BLOCKS {
            let scale = match self.params.level_bytes() {
                1 => scale,
                _ => s.mul(scale, s.load(&self.columns.scales.0[column..])),
            };
            return Rescale { correction: s.splat_i32(0), scale };
        }
        Rescale {
            correction: s.mul_i32(zero_point, s.load_i32(&self.columns.sums[column..])),
            scale: s.mul(scale, s.load(&self.columns.scales.0[column..])),
        }
    }

    /// Writes value by value, where columns lie apart or some of the tile's are not wanted.
    #[inline(always)]
    fn write_columns(&self) {
        match self.finish.target {
            // SAFETY: the output holds the tile, and no other thread writes there.
            Target::F32(out) => self.for_each_place(|index, value| unsafe {
                out.at(index).write(f32::from_bits(value.cast_unsigned()));
            }),
            // SAFETY: as above, and the sums' other terms are as many and only read.
            Target::Sum { out, plus } => self.for_each_place(|index, value| unsafe {
                let sum = f32::from_bits(value.cast_unsigned()) + plus.slice(index, 1)[0];
                let sum = if self.finish.relu && 0.0 > sum { 0.0 } else { sum };
                out.at(index).write(sum);
            }),
            Target::U8(out, _) => self.for_each_place(|index, value| {
                // SAFETY: as above.
                unsafe { out.at(index).write(value as u8) }
            }),
        }
    }

    /// Calls `write` with the place in the output of each wanted value, and what is staged for it.
    #[inline(always)]
    fn for_each_place(&self, write: impl Fn(usize, i32)) {
        const AT_ONCE: usize = 4;
        let rows = self.place.rows.len().min(ROWS);
        let whole = rows / AT_ONCE * AT_ONCE;
        for first in (0..whole).step_by(AT_ONCE) {
            self.rows_by_column::<AT_ONCE>(first, &write);
        }
        for first in whole..rows {
            self.rows_by_column::<1>(first, &write);
        }
    }

    /// The same for `N` rows of the tile, from `first` on.
    #[inline(always)]
    fn rows_by_column<const N: usize>(&self, first: usize, write: &impl Fn(usize, i32)) {
        let (finish, place) = (self.finish, &self.place);
        let wanted = &finish.columns;
        let first_column = wanted.start.max(place.first_column);
        let end = wanted.end.min(place.first_column + place.width);
        let staged: [_; N] = std::array::from_fn(|r| &self.staged.0[first + r]);
        let start = (place.rows.start + first) * finish.row_stride;
        for column in first_column..end {
            let start = start + (column - wanted.start) * finish.column_stride;
            for r in 0..N {
                write(start + r * finish.row_stride, staged[r][column - place.first_column]);
            }
        }
    }
}
