//! As many channels side by side as a vector has lanes: their images are transposed into pixels that hold a value of each,
//! under which no lane is idle, however short a row is and whatever the stride.

use super::Depthwise;
use super::grid::Grid;
use super::transpose::{Planes, gather, spread};
use crate::Isa;
use crate::f32::Bounds;
use crate::f32::conv::Lengths;
use crate::f32::gemm::SIDE;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::DEPTHWISE_F32;
use std::ops::Range;

/// Pixels of output that are summed at a time: with fewer, each waits for its last sum.
const TOGETHER: usize = 8;

/// Outputs of a row up to which transposing costs less than the lanes that rows leave idle: on AVX2 192 planes of 28 x 28 take
/// 58 us instead of 64, 64 of 40 x 40 39 instead of 33.
const WIDE: usize = 32;

/// The same where columns are skipped, which rows have to be copied for: 144 planes of 56 x 56 take 75 us
/// instead of 110 on AVX2.
const WIDE_STRIDED: usize = 64;

/// Values of the least transposed image beyond which rows are copied instead.
const MOST_VALUES: usize = 1 << 18;

/// Whether the channels fill more than half of their vectors, and rows of output do not fill theirs.
pub(super) fn pays(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let (lanes, channels) = (isa.lanes(), shape.in_channels);
    let widest = if shape.stride[1] == 1 { WIDE } else { WIDE_STRIDED };
    lanes >= SIDE
        && lengths.channels_out == 1
        && 2 * channels > channels.next_multiple_of(lanes)
        && lengths.output[1] <= widest
        && Grid::least(shape, lengths).saturating_mul(lanes) <= MOST_VALUES
}

pub(super) fn run(isa: Isa, conv: Depthwise<'_>, lengths: &Lengths, out: &mut [f32]) {
    let (lanes, channels) = (isa.lanes(), conv.shape.in_channels);
    let blocks = channels.div_ceil(lanes);
    let grid = Grid::new(lanes, conv.shape, lengths);
    let slack = TOGETHER * conv.shape.stride[1];
    let image_len = lanes * (grid.rows(grid.at_once) * grid.width + slack);
    let sums_len = lanes * (grid.at_once * lengths.output[1] + TOGETHER);
    let window = lengths.window;
    let places_len = grid.rows(grid.at_once).min(conv.shape.height) * conv.shape.width;
    let items = conv.shape.batch * blocks;
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(items);
    let out = SharedOut::new(out);
    split(items, parts, &|range| {
        with_thread_scratch(|scratch| {
            let values = [image_len, sums_len, lanes * window].map(bytes_for::<f32>);
            let places = [window, window, places_len].map(bytes_for::<usize>);
            let bytes = values.iter().chain(&places).sum();
            let mut arena = scratch.arena(bytes);
            let image = arena.take(image_len);
            let (sums, weight) = (arena.take(sums_len), arena.take(lanes * window));
            let (taps, lines) = (arena.take(window), arena.take(window));
            let places = arena.take(places_len);
            grid.taps(lanes, taps);
            grid.places(lanes, places);
            lines.iter_mut().enumerate().for_each(|(i, line)| *line = i * lanes);
            // No block writes to where the columns of the padding are.
            image.fill(0.0);
            for item in range {
                let (batch, first) = (item / blocks, item % blocks * lanes);
                let channels = first..channels.min(first + lanes);
                let plane = batch * conv.shape.in_channels + first;
                isa.run(Block {
                    conv,
                    grid,
                    x: &conv.x[plane * lengths.group_in..],
                    channels,
                    lengths,
                    // SAFETY: each block of channels has its own planes of the output.
                    out: unsafe { out.skip(plane * lengths.group_out) },
                    image,
                    sums,
                    weight,
                    taps,
                    places,
                    lines,
                });
            }
        });
    });
}

/// As many channels of an image as there are lanes, or fewer.
struct Block<'a> {
    conv: Depthwise<'a>,
    grid: Grid,
    /// From the first channel on.
    x: &'a [f32],
    channels: Range<usize>,
    lengths: &'a Lengths,
    /// From the first channel on.
    out: SharedOut<f32>,
    image: &'a mut [f32],
    sums: &'a mut [f32],
    weight: &'a mut [f32],
    taps: &'a [usize],
    /// Where the pixels of rows of input go, one after the other.
    places: &'a [usize],
    /// Where the vectors of weights go.
    lines: &'a [usize],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let window = self.taps.len();
        let weight = &self.conv.weight[self.channels.start * window..];
        gather(s, self.planes(weight, window), self.lines, self.weight);
        let mut bias = s.splat(0.0);
        if let Some(all) = self.conv.bias {
            bias = s.load_partial(&all[self.channels.clone()]);
        }
        let (height, at_once) = (self.grid.output[0], self.grid.at_once);
        for row in (0..height).step_by(at_once) {
            let rows = row..height.min(row + at_once);
            self.stage(s, rows.clone());
            self.sum(s, rows.len(), bias);
            let (first, width) = (rows.start * self.grid.output[1], self.grid.output[1]);
            let pixels = first..rows.end * width;
            // SAFETY: the channels are this thread's, and each has these pixels.
            unsafe {
                spread(s, self.sums, self.channels.len(), self.out, self.lengths.group_out, pixels)
            };
        }
    }
}

impl<'a> Block<'a> {
    /// A line of values for each of the channels, `stride` from one to the next.
    #[inline(always)]
    fn planes<'s>(&self, source: &'s [f32], stride: usize) -> Planes<'s> {
        Planes { source, stride, count: self.channels.len() }
    }

    /// Transposes what some rows of output see.
    #[inline(always)]
    fn stage<S: Simd>(&mut self, s: S, rows: Range<usize>) {
        let Grid { shape, width: pitch, .. } = self.grid;
        let ConvShape { height, width, stride: [down, _], padding, .. } = shape;
        let [[top, _], _] = padding;
        let (first, count) = (rows.start * down, self.grid.rows(rows.len()));
        let start = first.saturating_sub(top).min(height);
        let seen = start..(first + count).saturating_sub(top).clamp(start, height);
        let before = if seen.is_empty() { count } else { seen.start + top - first };
        let row = pitch * S::LANES;
        self.image[..before * row].fill(0.0);
        self.image[(before + seen.len()) * row..count * row].fill(0.0);
        let planes = self.planes(&self.x[seen.start * width..], self.lengths.group_in);
        let places = &self.places[..seen.len() * width];
        gather(s, planes, places, &mut self.image[before * row..]);
    }

    /// The sums of so many rows of output.
    #[inline(always)]
    fn sum<S: Simd>(&mut self, s: S, rows: usize, bias: S::F32) {
        let width = self.grid.output[1];
        let [down, across] = self.grid.shape.stride;
        let step = across * S::LANES;
        let furthest = ((rows - 1) * down * self.grid.width * S::LANES)
            + (width - 1 + TOGETHER) * step
            + self.taps.last().copied().unwrap_or(0);
        assert!(furthest <= self.image.len());
        for y in 0..rows {
            // SAFETY: checked above.
            let mut image =
                unsafe { self.image.as_ptr().add(y * down * self.grid.width * S::LANES) };
            let mut x = 0;
            while x < width {
                let sums = &mut self.sums[(y * width + x) * S::LANES..];
                let seen = Seen {
                    image,
                    step,
                    taps: self.taps,
                    weight: self.weight,
                    bounds: self.conv.bounds,
                };
                // Sums behind the end of a row are overwritten by the next one.
                let count = match width - x {
                    1..=2 => seen.sum::<S, 2>(s, bias, sums),
                    3..=4 => seen.sum::<S, 4>(s, bias, sums),
                    _ => seen.sum::<S, TOGETHER>(s, bias, sums),
                };
                x += count;
                image = image.wrapping_add(count * step);
            }
        }
    }
}

/// What some pixels of output side by side see.
struct Seen<'a> {
    /// What the first of them sees first.
    image: *const f32,
    /// From a pixel to the next.
    step: usize,
    taps: &'a [usize],
    weight: &'a [f32],
    bounds: Bounds,
}

impl Seen<'_> {
    #[inline(always)]
    fn sum<S: Simd, const N: usize>(self, s: S, bias: S::F32, out: &mut [f32]) -> usize {
        let mut sums = [bias; N];
        for (tap, weight) in self.taps.iter().zip(self.weight.chunks_exact(S::LANES)) {
            let weight = s.load(weight);
            for i in 0..N {
                // SAFETY: `Block::sum` has checked what the last pixel sees last.
                let seen = unsafe { s.load_ptr(self.image.add(tap + i * self.step)) };
                sums[i] = s.mul_add(weight, seen, sums[i]);
            }
        }
        let out = &mut out[..N * S::LANES];
        for (i, out) in out.chunks_exact_mut(S::LANES).enumerate() {
            s.store(self.bounds.apply(s, sums[i]), out);
        }
        N
    }
}
