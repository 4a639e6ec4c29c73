//! What a block of channels of a depthwise convolution is multiplied with and rescaled by.

use super::QParams;
use super::columns::{COLUMNS, Columns, Lanes};
use super::conv_shape::ConvShape;
use super::panels::Packed;
use crate::isa::Simd;
use crate::tuning::{DEPTHWISE_INT8, GROUP, PANEL};

/// Vectors of sums in a block: a vector of bytes has that many times the lanes.
pub(super) const VECTORS: usize = DEPTHWISE_INT8.vectors;

/// Channels that stay side by side when bytes are interleaved.
pub(super) const TOGETHER: usize = 4;

/// Output rows that the same fours of input rows serve: two under a 3 x 3 kernel with step 1. A kernel
/// that skips rows has fours of its own for each.
pub(super) fn rows_together(shape: &ConvShape) -> usize {
    let [height, _] = shape.kernel;
    if shape.dilation[0] > 1 {
        return 1;
    }
    (height.next_multiple_of(GROUP) - height) / shape.stride[0] + 1
}

/// Weights, scales and bias of a block of channels, its lanes in the order of
/// [`Simd::interleave`].
pub(super) struct Block<'a> {
    /// For each output row that [`rows_together`] counts, each column of the kernel and each four rows
    /// of input: four weights of each channel, as bytes of a number.
    pub(super) weights: &'a mut [i32],
    /// What sums start with: the correction for the zero point.
    pub(super) start: Lanes<i32>,
    pub(super) scales: Lanes<f32>,
    pub(super) bias: Lanes<f32>,
    /// The weights' zero points.
    pub(super) zero_points: Lanes<i32>,
    /// Ones in place of weights, as bytes of a number for each four of these.
    pub(super) ones: &'a mut [i32],
}

impl<'a> Block<'a> {
    /// Numbers of scratch that [`Block::over`] takes.
    pub(super) fn numbers(shape: &ConvShape) -> usize {
        fours_of(shape) * (COLUMNS + 1)
    }

    /// A block that keeps its weights in `numbers`.
    pub(super) fn over(shape: &ConvShape, numbers: &'a mut [i32]) -> Block<'a> {
        let (weights, ones) = numbers.split_at_mut(fours_of(shape) * COLUMNS);
        for (i, ones) in ones.iter_mut().enumerate() {
            let is_tap = kernel_rows(shape, i).map(|row| u8::from(row.is_some()));
            *ones = i32::from_le_bytes(is_tap);
        }
        Block {
            weights,
            ones,
            zero_points: Lanes([0; COLUMNS]),
            start: Lanes([0; COLUMNS]),
            scales: Lanes([0.0; COLUMNS]),
            bias: Lanes([0.0; COLUMNS]),
        }
    }

    /// Writes numbers of channels to `out` in the order of the channels.
    #[inline(always)]
    pub(super) fn in_order<S: Simd>(lanes: &[i32; COLUMNS], out: &mut [i32; COLUMNS]) {
        for (i, out) in out.chunks_exact_mut(TOGETHER).take(S::LANES).enumerate() {
            out.copy_from_slice(&lanes[place::<S>(i)..][..TOGETHER]);
        }
    }

    /// Makes this the block of the channels from `column` on, which `columns` describes.
    #[inline(always)]
    pub(super) fn prepare<S: Simd>(
        &mut self,
        s: S,
        shape: &ConvShape,
        weight: Packed<'_>,
        columns: &Columns<'_>,
        params: QParams,
        column: usize,
    ) {
        for i in 0..S::LANES {
            let (from, to) = (i * TOGETHER, place::<S>(i));
            let ends = (from + TOGETHER, to + TOGETHER);
            self.bias.0[to..ends.1].copy_from_slice(&columns.bias.0[from..ends.0]);
            self.zero_points.0[to..ends.1].copy_from_slice(&columns.zero_points.0[from..ends.0]);
            for j in 0..TOGETHER {
                self.scales.0[to + j] = params.scale * columns.scales.0[from + j];
            }
        }
        let end = weight.n.min(column + VECTORS * S::LANES);
        for panel in column / PANEL..end.div_ceil(PANEL) {
            self.arrange(s, shape, weight, panel, panel * PANEL - column);
        }
        // SAFETY: the constant holds four values.
        let ones = unsafe { s.splat_bytes([1u8; GROUP].as_ptr()) };
        let zero_point = s.splat_i32(-i32::from(params.zero_point));
        for v in 0..VECTORS {
            let mut sum = s.splat_i32(0);
            let weights = self.weights.chunks_exact(VECTORS * S::LANES);
            for weights in weights.take(shape.kernel[0].div_ceil(GROUP) * shape.kernel[1]) {
                let weights = s.load_i32(&weights[v * S::LANES..]);
                sum = s.dot(sum, ones, s.i32_to_bytes(weights));
            }
            s.store_i32(s.mul_i32(sum, zero_point), &mut self.start.0[v * S::LANES..]);
        }
    }

    /// Repeats what belongs to the first `channels` channels, which fill the block a whole number of times.
    #[inline(always)]
    pub(super) fn repeat<S: Simd>(&mut self, shape: &ConvShape, channels: usize) {
        let fours = channels / TOGETHER;
        let vectors = self.weights.chunks_exact_mut(VECTORS * S::LANES).take(fours_of(shape));
        for numbers in vectors.chain([&mut self.start.0[..], &mut self.zero_points.0[..]]) {
            repeat_fours::<S, _>(numbers, fours);
        }
        repeat_fours::<S, _>(&mut self.scales.0, fours);
        repeat_fours::<S, _>(&mut self.bias.0, fours);
    }

    /// Arranges the weights of a panel, whose first channel is the block's channel `at`.
    #[inline(always)]
    fn arrange<S: Simd>(
        &mut self,
        s: S,
        shape: &ConvShape,
        weight: Packed<'_>,
        panel: usize,
        at: usize,
    ) {
        let [height, width] = shape.kernel;
        let panel_width = weight.width(panel);
        let mut tail = [0; COLUMNS * GROUP];
        weight.expand_tail(panel, panel_width, &mut tail);
        let groups = height.div_ceil(GROUP);
        let of_row = groups * width;
        for first in (0..panel_width).step_by(S::LANES) {
            let lanes = S::LANES.min(panel_width - first);
            let weights = self.weights.chunks_exact_mut(VECTORS * S::LANES).take(fours_of(shape));
            for (i, numbers) in weights.enumerate() {
                let mut arranged = s.splat_i32(0);
                let column = i % of_row / groups;
                for (r, row) in kernel_rows(shape, i).into_iter().enumerate() {
                    let Some(row) = row else { continue };
                    let tap = row * width + column;
                    let (group, place) = (tap / GROUP, tap % GROUP);
                    let bytes = if group < weight.k / GROUP {
                        &weight.from(panel)[GROUP * (group * panel_width + first)..]
                            [..GROUP * lanes]
                    } else {
                        &tail[first * GROUP..][..GROUP * lanes]
                    };
                    // SAFETY: the slice holds four values for each of the lanes.
                    let four = unsafe { s.load_bytes_partial(bytes.as_ptr(), lanes) };
                    let one = s.shr(s.bytes_to_i32(four), 8 * place as u32);
                    let one = s.and_i32(one, s.splat_i32(0xff));
                    arranged = s.or_i32(arranged, s.shl(one, 8 * r as u32));
                }
                let mut in_order = [0; PANEL];
                s.store_i32(arranged, &mut in_order);
                for (j, four) in in_order[..S::LANES].chunks_exact(TOGETHER).enumerate() {
                    let to = place::<S>((at + first) / TOGETHER + j);
                    numbers[to..to + TOGETHER].copy_from_slice(four);
                }
            }
        }
    }
}

/// The rows of the kernel whose weights are the `i`-th four of [`Block::weights`].
fn kernel_rows(shape: &ConvShape, i: usize) -> [Option<usize>; GROUP] {
    let [height, width] = shape.kernel;
    let groups = height.div_ceil(GROUP);
    // The kernel lies lower by a step for each output row.
    let down = i / (groups * width) * shape.stride[0];
    let row = |r: usize| (i % groups * GROUP + r).checked_sub(down).filter(|row| *row < height);
    std::array::from_fn(row)
}

/// Where the `i`-th [`TOGETHER`] channels of a block lie.
#[inline(always)]
fn place<S: Simd>(i: usize) -> usize {
    i % VECTORS * S::LANES + i / VECTORS * TOGETHER
}

/// Vectors of four weights of each channel of a block.
fn fours_of(shape: &ConvShape) -> usize {
    rows_together(shape) * shape.kernel[0].div_ceil(GROUP) * shape.kernel[1]
}

/// Repeats the first so many fours of channels in all others of a block.
#[inline(always)]
fn repeat_fours<S: Simd, T: Copy>(numbers: &mut [T], fours: usize) {
    for i in fours..S::LANES {
        let from = place::<S>(i % fours);
        numbers.copy_within(from..from + TOGETHER, place::<S>(i));
    }
}
