//! Depthwise convolution: every channel with a kernel of its own.
//!
//! There is no sum over channels, so lanes are channels. The pixels of a column under four kernel
//! rows are brought together byte by byte, which fits the dot product that matrices use, and serve
//! every output pixel over that column. Rescaling takes longer than the nine products of a 3 x 3
//! kernel, so what it needs is prepared once for a block of channels.

use super::columns::{COLUMNS, Columns, Lanes};
use super::conv_shape::ConvShape;
use super::depthwise_block::{Block, TOGETHER, VECTORS, rows_together};
use super::finish::{Finish, FinishTile, Place, Staged, Target};
use super::levels::{Levels, quantize_lanes};
use super::panels::Packed;
use super::slab::Slab;
use super::{Epilogue, QParams, RowParams};
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;
use crate::tuning::{DEPTHWISE_INT8, GROUP};

/// Output pixels of a tile.
pub(super) const PIXELS: usize = DEPTHWISE_INT8.rows;

/// Output pixels whose columns are interleaved together: under a 3 x 3 kernel they take 8 KB.
const SEGMENT: usize = 28;

/// The depthwise convolution of a slab.
pub(super) struct Depthwise<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) slab: Slab<'a>,
    pub(super) params: QParams,
    pub(super) weight: Packed<'a>,
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) finish: Finish,
    pub(super) rows: usize,
    pub(super) out_width: usize,
    pub(super) columns: Columns<'a>,
    pub(super) block: Block<'a>,
    /// The interleaved columns of a segment.
    pub(super) taps: &'a mut [i32],
    pub(super) staged: Staged,
    /// Levels of pixels that are not written as whole vectors.
    pub(super) spare: [u8; PIXELS * COLUMNS],
}

/// Some output pixels of a row, side by side, and some of their channels.
#[derive(Copy, Clone)]
struct Tile {
    first: usize,
    count: usize,
    column: usize,
    width: usize,
    /// The width of the last one.
    last_width: usize,
    /// Pixels that count as one, see [`Depthwise::side_by_side`].
    pixels: usize,
}

impl Kernel for Depthwise<'_> {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let pixels = self.side_by_side::<S>();
        for column in (0..self.weight.n).step_by(VECTORS * S::LANES) {
            let width = (VECTORS * S::LANES).min(self.weight.n - column);
            let Packed { k, zero_points, .. } = self.weight;
            self.columns.describe(self.epilogue, k, zero_points, column, width);
            self.block.prepare(s, self.shape, self.weight, &self.columns, self.params, column);
            if pixels > 1 {
                self.block.repeat::<S>(self.shape, width);
            }
            // The correction for the zero point is part of the sums.
            self.columns.sums.fill(0);
            let all = (column, width, pixels);
            let same = self.shape.out_channels == self.shape.in_channels;
            match (same, self.shape.dilation[1] > 1) {
                (true, false) => self.convolve::<S, true, false>(s, all),
                (false, false) => self.convolve::<S, false, false>(s, all),
                (true, true) => self.convolve::<S, true, true>(s, all),
                (false, true) => self.convolve::<S, false, true>(s, all),
            }
        }
    }
}

impl Depthwise<'_> {
    /// Numbers of scratch for [`Depthwise::taps`] where rows of output have `out_width` pixels.
    pub(super) fn numbers(shape: &ConvShape, out_width: usize) -> usize {
        columns_under(shape, SEGMENT.min(out_width)) * shape.kernel[0].div_ceil(GROUP) * COLUMNS
    }

    /// How many pixels one after the other count as one pixel of as many times the channels: where these are
    /// so few that they would leave half of a block or more empty.
    fn side_by_side<S: Simd>(&self) -> usize {
        let (shape, block) = (self.shape, VECTORS * S::LANES);
        let channels = shape.out_channels;
        let in_order = self.finish.column_stride == 1
            && self.finish.row_stride == channels
            && matches!(self.finish.target, Target::U8(..));
        let is_plain =
            channels == shape.in_channels && shape.stride[1] == 1 && shape.dilation[1] == 1;
        let fills = block.is_multiple_of(channels) && channels.is_multiple_of(TOGETHER);
        if in_order && is_plain && fills { block / channels } else { 1 }
    }

    /// Whether the next so many pixels that count as one see some of the same columns, so that each is interleaved once.
    fn shares_columns(&self, pixels: usize) -> bool {
        pixels == 1 || pixels < self.shape.kernel[1]
    }

    /// Convolves `width` channels from `column` on, so many pixels as one; `SPREAD` if the kernel skips columns.
    #[inline(always)]
    fn convolve<S: Simd, const SAME: bool, const SPREAD: bool>(
        &mut self,
        s: S,
        (column, width, pixels): (usize, usize, usize),
    ) {
        let down = self.shape.stride[0] * self.slab.row_stride;
        let across = self.shape.stride[1] * self.shape.in_channels * pixels;
        let together = rows_together(self.shape);
        let per_row = self.out_width.div_ceil(pixels);
        let last_width = (self.out_width - (per_row - 1) * pixels) * width;
        let segment = match pixels {
            1 => SEGMENT,
            _ if self.shares_columns(pixels) => SEGMENT.min(self.out_width).div_ceil(pixels),
            _ => columns_under(self.shape, SEGMENT.min(self.out_width)) / self.shape.kernel[1],
        };
        for row in (0..self.rows).step_by(together) {
            let together = together.min(self.rows - row);
            for x in (0..per_row).step_by(segment) {
                let count = segment.min(per_row - x);
                let start = row * down + x * across;
                self.interleave::<S, SAME>(s, start, (count, pixels), together, column);
                for from in (0..count).step_by(PIXELS) {
                    let (first, count) = (x + from, PIXELS.min(count - from));
                    let is_last = first + count == per_row;
                    for i in 0..together {
                        let tile = Tile {
                            first: (row + i) * self.out_width + first * pixels,
                            count,
                            column,
                            width: width * pixels,
                            last_width: if is_last { last_width } else { width * pixels },
                            pixels,
                        };
                        let mut sums = self.sum::<S, SPREAD, false>(s, from, tile, i);
                        if !self.weight.zero_points.is_empty() {
                            let levels = self.sum::<S, SPREAD, true>(s, from, tile, i);
                            self.take_off(s, &mut sums, levels);
                        }
                        match self.finish.target {
                            Target::U8(out, levels) if self.finish.column_stride == 1 => {
                                self.write_levels(s, sums, out, levels, tile);
                            }
                            _ => self.finish_in_order(s, sums, tile),
                        }
                    }
                }
            }
        }
    }

    /// Interleaves the columns under `count` output pixels of `rows` rows, for the first of which input
    /// values start at `start`; or under as many times `pixels` that count as one.
    #[inline(always)]
    fn interleave<S: Simd, const SAME: bool>(
        &mut self,
        s: S,
        start: usize,
        (count, pixels): (usize, usize),
        rows: usize,
        column: usize,
    ) {
        let ConvShape { in_channels, kernel: [height, width], dilation, stride, .. } = *self.shape;
        let multiplier = self.shape.out_channels / in_channels;
        let last = (rows - 1) * stride[0] + height - 1;
        let row_stride = dilation[0] * self.slab.row_stride;
        let block = VECTORS * S::LANES;
        let (runs, run) = match self.shares_columns(pixels) {
            true => (1, columns_under(self.shape, (count - 1) * pixels + 1)),
            false => (count, width),
        };
        let groups = height.div_ceil(GROUP);
        for group in 0..groups {
            let mut four = [&[][..]; GROUP];
            for r in 0..GROUP {
                // Rows below the kernels repeat the last one, and meet weights of 0.
                let row = (group * GROUP + r).min(last);
                four[r] = &self.slab.pixels[start + row * row_stride..];
            }
            let mut columns = self.taps[group * block..].chunks_mut(groups * block);
            for first in 0..runs {
                for x in 0..run {
                    let Some(to) = columns.next() else { return };
                    let at = (first * pixels + x) * in_channels;
                    let mut taps = [s.i32_to_bytes(s.splat_i32(0)); GROUP];
                    for r in 0..GROUP {
                        taps[r] = load::<S, SAME>(s, four[r], at, column, multiplier);
                    }
                    let taps = s.interleave(taps);
                    let to = &mut to[..block];
                    for v in 0..VECTORS {
                        s.store_i32(s.bytes_to_i32(taps[v]), &mut to[v * S::LANES..]);
                    }
                }
            }
        }
    }

    /// The sums of the output pixels of a tile, which is the segment's from `first` on, the last one repeated up
    /// to [`PIXELS`], in the `row`-th row above the interleaved columns. They are in the order of
    /// [`Simd::interleave`]. With `ONES` they are those of the levels alone, less their zero point.
    #[inline(always)]
    fn sum<S: Simd, const SPREAD: bool, const ONES: bool>(
        &self,
        s: S,
        first: usize,
        tile: Tile,
        row: usize,
    ) -> [[S::I32; VECTORS]; PIXELS] {
        let block = VECTORS * S::LANES;
        let height = self.shape.kernel[0].div_ceil(GROUP);
        let column = |x: usize| x * height * block;
        let [_, width] = self.shape.kernel;
        let step = match self.shares_columns(tile.pixels) {
            true => column(tile.pixels * self.shape.stride[1]),
            false => column(width),
        };
        let taps = &self.taps[first * step..];
        let mut sums = [[s.splat_i32(0); VECTORS]; PIXELS];
        let of_zeros = i32::from(self.params.zero_point) * (self.shape.k() as i32);
        for sums in &mut sums {
            for v in 0..VECTORS {
                sums[v] = match ONES {
                    true => s.splat_i32(-of_zeros),
                    false => s.load_i32(&self.block.start.0[v * S::LANES..]),
                };
            }
        }
        let of_kernel = column(width);
        let skipped = column(self.shape.dilation[1] - 1);
        let weights = self.block.weights[row * of_kernel..][..of_kernel].chunks_exact(block);
        let ones = &self.block.ones[row * width * height..][..width * height];
        for (i, (at, weights)) in (0..of_kernel).step_by(block).zip(weights).enumerate() {
            let at = if SPREAD { at + i / height * skipped } else { at };
            let ones = s.splat_i32(if ONES { ones[i] } else { 0 });
            for p in 0..PIXELS {
                let taps = &taps[p.min(tile.count - 1) * step + at..][..block];
                for v in 0..VECTORS {
                    let taps = s.i32_to_bytes(s.load_i32(&taps[v * S::LANES..]));
                    let weights = if ONES { ones } else { s.load_i32(&weights[v * S::LANES..]) };
                    let weights = s.i32_to_bytes(weights);
                    sums[p][v] = s.dot(sums[p][v], taps, weights);
                }
            }
        }
        sums
    }

    /// Takes sums of levels off those of products, as often as the weights' zero points say.
    #[inline(always)]
    fn take_off<S: Simd>(
        &self,
        s: S,
        sums: &mut [[S::I32; VECTORS]; PIXELS],
        levels: [[S::I32; VECTORS]; PIXELS],
    ) {
        for v in 0..VECTORS {
            let zero_points = s.load_i32(&self.block.zero_points.0[v * S::LANES..]);
            for p in 0..PIXELS {
                sums[p][v] = s.sub_i32(sums[p][v], s.mul_i32(levels[p][v], zero_points));
            }
        }
    }

    /// Rescales, quantizes and writes sums, where channels lie side by side.
    #[inline(always)]
    fn write_levels<S: Simd>(
        &mut self,
        s: S,
        sums: [[S::I32; VECTORS]; PIXELS],
        out: SharedOut<u8>,
        levels: Levels,
        tile: Tile,
    ) {
        let levels = if self.finish.relu { levels.without_negative() } else { levels };
        let mut scales = [s.splat(0.0); VECTORS];
        let mut bias = [s.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            scales[v] = s.load(&self.block.scales.0[v * S::LANES..]);
            bias[v] = s.load(&self.block.bias.0[v * S::LANES..]);
        }
        let block = VECTORS * S::LANES;
        let whole = match (tile.width == block, tile.last_width == block) {
            (true, true) => tile.count,
            (true, false) => tile.count - 1,
            _ => 0,
        };
        let row_stride = self.finish.row_stride;
        let place = |p: usize| (tile.first + p * tile.pixels) * row_stride + tile.column;
        // Without branches, so that the loop is unrolled and the sums stay in registers: with them it took
        // a quarter longer.
        for p in 0..PIXELS {
            let mut q = [s.splat_i32(0); VECTORS];
            for v in 0..VECTORS {
                let y = s.add(s.mul(s.i32_to_f32(sums[p][v]), scales[v]), bias[v]);
                q[v] = quantize_lanes(s, y, levels);
            }
            let spare = &mut self.spare[p * COLUMNS..];
            let out = if p < whole {
                // SAFETY: the output holds the pixel, and no other thread writes there.
                unsafe { out.slice(place(p), block) }
            } else {
                spare
            };
            s.store_interleaved(q, out);
        }
        for p in whole..tile.count {
            let width = if p + 1 == tile.count { tile.last_width } else { tile.width };
            // SAFETY: as above.
            let out = unsafe { out.slice(place(p), width) };
            copy_in_pieces(&self.spare[p * COLUMNS..], out);
        }
    }

    /// Brings sums into the order of the channels and finishes them as products are.
    #[inline(always)]
    fn finish_in_order<S: Simd>(&mut self, s: S, sums: [[S::I32; VECTORS]; PIXELS], tile: Tile) {
        let mut lanes = Lanes([0; COLUMNS]);
        for p in 0..PIXELS {
            for v in 0..VECTORS {
                s.store_i32(sums[p][v], &mut lanes.0[v * S::LANES..]);
            }
            Block::in_order::<S>(&lanes.0, self.staged.row_mut(p));
        }
        s.call(FinishTile::<false> {
            staged: &mut self.staged,
            columns: &self.columns,
            params: RowParams::Tensor(self.params),
            level_sums: &[],
            finish: &self.finish,
            place: Place {
                rows: tile.first..tile.first + tile.count,
                first_column: tile.column,
                width: tile.width,
            },
        });
    }
}

/// Columns of input under `count` output pixels of a row.
fn columns_under(shape: &ConvShape, count: usize) -> usize {
    (count - 1) * shape.stride[1] + shape.span()[1]
}

/// The input values that belong to output channels from `column` on, of the pixel that starts at `at`. `SAME` if each output channel has an input channel of its own.
#[inline(always)]
fn load<S: Simd, const SAME: bool>(
    s: S,
    row: &[u8],
    at: usize,
    column: usize,
    multiplier: usize,
) -> S::Bytes {
    let block = VECTORS * S::LANES;
    if SAME {
        // A slab is longer than its last pixel by a vector.
        let values = &row[at + column..][..block];
        // SAFETY: the slice holds four bytes for each lane.
        return unsafe { s.load_bytes(values.as_ptr().cast()) };
    }
    let mut repeated = [0; COLUMNS];
    for i in 0..block {
        repeated[i] = row[at + (column + i) / multiplier];
    }
    // SAFETY: the array holds four bytes for each lane of the widest vector.
    unsafe { s.load_bytes(repeated.as_ptr().cast()) }
}

/// Copies as much as `out` holds, without a call of `memcpy`, around which all registers are saved:
/// that took a sixth of the time on 32 channels.
#[inline(always)]
fn copy_in_pieces(all: &[u8], out: &mut [u8]) {
    const PIECE: usize = 8;
    for first in (0..COLUMNS).step_by(PIECE) {
        let end = out.len().min(first + PIECE);
        if end < first + PIECE {
            return out[first..end].copy_from_slice(&all[first..end]);
        }
        out[first..first + PIECE].copy_from_slice(&all[first..first + PIECE]);
    }
}
