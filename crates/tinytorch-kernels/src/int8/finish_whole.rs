//! The end of a tile that is written whole: its sums are finished in the registers that hold them.
//!
//! Loops are short, one for each thing that happens to a sum: in one that does everything the compiler
//! does not unroll the rows, and keeps the sums in memory.

#![expect(
    clippy::needless_range_loop,
    reason = "an iterator over vectors would put them in memory"
)]

use super::columns::Columns;
use super::finish::{Target, relu_of};
use super::levels::quantize_lanes;
use super::operands::RowParams;
use crate::isa::Simd;

/// Where the rows of a tile are written, and how.
pub(super) struct Whole<'t> {
    pub(super) params: RowParams<'t>,
    /// See [`FinishTile`](super::finish::FinishTile).
    pub(super) level_sums: &'t [i32],
    /// The first row.
    pub(super) row: usize,
    pub(super) target: Target,
    /// The place of the first row's first column, and how far rows are apart.
    pub(super) start: usize,
    pub(super) row_stride: usize,
    pub(super) relu: bool,
}

impl Whole<'_> {
    /// Rescales, quantizes and writes a vector of columns, from `column` of the tile on, of each row. The
    /// sums are as they would be [staged](super::finish::Staged).
    #[inline(always)]
    pub(super) fn write<S: Simd, const R: usize, const BLOCKS: bool>(
        &self,
        s: S,
        columns: &Columns<'_>,
        column: usize,
        sums: [S::I32; R],
    ) {
        let y = self.rescale::<S, R, BLOCKS>(s, columns, column, sums);
        let start = self.start + column;
        match self.target {
            Target::F32(out) => {
                for r in 0..R {
                    let y = if self.relu { s.max(y[r], s.splat(0.0)) } else { y[r] };
                    // SAFETY: the output holds the tile, and no other thread writes there.
                    s.store(y, unsafe { out.slice(start + r * self.row_stride, S::LANES) });
                }
            }
            Target::Sum { out, plus } => {
                for r in 0..R {
                    let index = start + r * self.row_stride;
                    // SAFETY: as above, and the sums' other terms are as many and only read.
                    let (out, plus) =
                        unsafe { (out.slice(index, S::LANES), plus.slice(index, S::LANES)) };
                    s.store(relu_of(s, s.add(y[r], s.load(plus)), self.relu), out);
                }
            }
            Target::U8(out, levels) => {
                let levels = if self.relu { levels.without_negative() } else { levels };
                for r in 0..R {
                    let q = quantize_lanes(s, y[r], levels);
                    // SAFETY: as above.
                    s.store_low_bytes(q, unsafe {
                        out.slice(start + r * self.row_stride, S::LANES)
                    });
                }
            }
        }
    }

    #[inline(always)]
    fn rescale<S: Simd, const R: usize, const BLOCKS: bool>(
        &self,
        s: S,
        columns: &Columns<'_>,
        column: usize,
        mut sums: [S::I32; R],
    ) -> [S::F32; R] {
        if !BLOCKS && !self.level_sums.is_empty() {
            let zero_points = s.load_i32(&columns.zero_points.0[column..]);
            for r in 0..R {
                let level_sum = s.splat_i32(self.level_sums[self.row + r]);
                sums[r] = s.sub_i32(sums[r], s.mul_i32(level_sum, zero_points));
            }
        }
        let bias = s.load(&columns.bias.0[column..]);
        let scales = s.load(&columns.scales.0[column..]);
        let weight_sums = s.load_i32(&columns.sums[column..]);
        let mut y = [s.splat(0.0); R];
        match self.params {
            RowParams::Tensor(params) | RowParams::Tensor16(params) if !BLOCKS => {
                let correction = s.mul_i32(s.splat_i32(i32::from(params.zero_point)), weight_sums);
                let scale = s.mul(s.splat(params.scale), scales);
                for r in 0..R {
                    let centered = s.i32_to_f32(s.sub_i32(sums[r], correction));
                    y[r] = s.add(s.mul(centered, scale), bias);
                }
            }
            params => {
                let is_wide = params.level_bytes() > 1;
                for r in 0..R {
                    let of_row = params.of(self.row + r);
                    let scale = s.splat(of_row.scale);
                    let scaled = if BLOCKS {
                        let scale = if is_wide { s.mul(scale, scales) } else { scale };
                        s.mul(s.bits_to_f32(sums[r]), scale)
                    } else {
                        let zero_point = s.splat_i32(i32::from(of_row.zero_point));
                        let centered = s.sub_i32(sums[r], s.mul_i32(zero_point, weight_sums));
                        s.mul(s.i32_to_f32(centered), s.mul(scale, scales))
                    };
                    y[r] = s.add(scaled, bias);
                }
            }
        }
        y
    }
}
