//! Channel by channel: neighboring pixels of a row fill a vector.

use super::Depthwise;
use crate::Isa;
use crate::f32::Bounds;
use crate::f32::conv::Lengths;
use crate::f32::conv::copied::{Copied, Runs};
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::DEPTHWISE_F32;
use std::ops::Range;

/// Values of an image that are copied at a time: 16 KB, which stay in the first-level cache, as planes of 80 x 80 do not.
const COPIED: usize = 4 << 10;

pub(super) fn run(isa: Isa, conv: Depthwise<'_>, lengths: &Lengths, out: &mut [f32]) {
    let Depthwise { shape, x, weight, bias, bounds } = conv;
    let planes = shape.batch * shape.in_channels;
    let copied = Copied::made(isa.lanes(), x, shape, lengths);
    let height = lengths.output[0];
    let rows = copied.rows_in(COPIED, height);
    let image_len = copied.len(1, rows);
    let is_paired = matches!(copied, Copied::Rows(_))
        && shape.kernel == [3, 3]
        && shape.stride[0] * shape.dilation[0] == 1;
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(planes);
    let out = SharedOut::new(out);
    split(planes, parts, &|range| {
        with_thread_scratch(|scratch| {
            let bytes = bytes_for::<f32>(image_len) + bytes_for::<usize>(lengths.window);
            let mut arena = scratch.arena(bytes);
            let (image, taps) = (arena.take(image_len), arena.take(lengths.window));
            copied.offsets(rows, taps);
            isa.run(Planes {
                shape,
                lengths,
                copied,
                planes: range,
                rows,
                is_paired,
                image,
                taps,
                weight,
                bias,
                bounds,
                out,
            });
        });
    });
}

/// Some planes of the input, and the outputs of each.
struct Planes<'a> {
    shape: &'a ConvShape,
    lengths: &'a Lengths,
    copied: Copied<'a>,
    planes: Range<usize>,
    /// Rows of output that are computed at a time.
    rows: usize,
    /// Whether a row sees all that the one before it sees but the first row of it.
    is_paired: bool,
    image: &'a mut [f32],
    /// From the first value under the kernel to each of them.
    taps: &'a [usize],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    bounds: Bounds,
    out: SharedOut<f32>,
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Lengths { group_in, group_out, channels_out, window, pixels, .. } = *self.lengths;
        let [height, width] = self.lengths.output;
        for plane in self.planes {
            let first = plane % self.shape.in_channels * channels_out;
            let copied = self.copied.at_offset(plane * group_in);
            // SAFETY: each plane of the input has its own planes of the output.
            let out = unsafe { self.out.slice(plane * group_out, group_out) };
            for row in (0..height).step_by(self.rows) {
                let rows = row..height.min(row + self.rows);
                copied.stage(s, 0..1, rows.clone(), self.image);
                for channel in 0..channels_out {
                    let weight = &self.weight[(first + channel) * window..][..window];
                    let bias = self.bias.map_or(0.0, |bias| bias[first + channel]);
                    let (image, taps, bounds) = (&*self.image, self.taps, self.bounds);
                    let run = Run { image, taps, weight, bias, bounds };
                    let out = &mut out[channel * pixels..][rows.start * width..rows.end * width];
                    run.sum_all(s, &copied, rows.len(), self.is_paired, out);
                }
            }
        }
    }
}

/// What the values of a run of outputs are made of.
#[derive(Copy, Clone)]
struct Run<'a> {
    image: &'a [f32],
    taps: &'a [usize],
    weight: &'a [f32],
    bias: f32,
    bounds: Bounds,
}

impl Run<'_> {
    /// All runs of some rows of outputs.
    #[inline(always)]
    fn sum_all<S: Simd>(
        self,
        s: S,
        copied: &Copied<'_>,
        rows: usize,
        is_paired: bool,
        out: &mut [f32],
    ) {
        let Runs { len, step, .. } = copied.runs(rows);
        let mut runs = out.chunks_exact_mut(len);
        let mut corner = 0;
        while let Some(out) = runs.next() {
            // Kernels of 3 x 3 stay in registers.
            match self.taps.len() {
                9 if is_paired => match runs.next() {
                    None => self.sum::<S, 9>(s, corner, out),
                    Some(next) => {
                        self.sum_pair(s, corner, step, [out, next]);
                        corner += step;
                    }
                },
                9 => self.sum::<S, 9>(s, corner, out),
                _ => self.sum_of_any::<S>(s, corner, out),
            }
            corner += step;
        }
    }

    /// Two rows, the second of which sees what lies `step` further: two of three rows of the image are loaded once for both.
    #[inline(always)]
    fn sum_pair<S: Simd>(self, s: S, corner: usize, step: usize, [upper, lower]: [&mut [f32]; 2]) {
        let mut weights = [[s.splat(0.0); 3]; 3];
        for y in 0..3 {
            for x in 0..3 {
                weights[y][x] = s.splat(self.weight[3 * y + x]);
            }
        }
        let columns = [self.taps[0], self.taps[1], self.taps[2]];
        let furthest = corner + 3 * step + columns.into_iter().max().unwrap_or(0);
        assert!(furthest + upper.len().next_multiple_of(S::LANES) <= self.image.len());
        let pairs = upper.chunks_mut(S::LANES).zip(lower.chunks_mut(S::LANES));
        for (i, (upper, lower)) in pairs.enumerate() {
            let mut sums = [s.splat(self.bias); 2];
            for y in 0..4 {
                for x in 0..3 {
                    let place = corner + i * S::LANES + y * step + columns[x];
                    // SAFETY: the last vector of the last row lies in the image.
                    let seen = unsafe { s.load_ptr(self.image.as_ptr().add(place)) };
                    if y < 3 {
                        sums[0] = s.mul_add(weights[y][x], seen, sums[0]);
                    }
                    if y > 0 {
                        sums[1] = s.mul_add(weights[y - 1][x], seen, sums[1]);
                    }
                }
            }
            self.store(s, sums[0], upper);
            self.store(s, sums[1], lower);
        }
    }

    /// The run whose first window starts at `corner`, of `TAPS` places.
    #[inline(always)]
    fn sum<S: Simd, const TAPS: usize>(self, s: S, corner: usize, out: &mut [f32]) {
        let (mut taps, mut weights) = ([0; TAPS], [s.splat(0.0); TAPS]);
        for i in 0..TAPS {
            (taps[i], weights[i]) = (self.taps[i], s.splat(self.weight[i]));
        }
        let furthest = taps.iter().max().map_or(0, |tap| corner + tap);
        assert!(furthest + out.len().next_multiple_of(S::LANES) <= self.image.len());
        for (i, out) in out.chunks_mut(S::LANES).enumerate() {
            let mut sum = s.splat(self.bias);
            for (tap, weight) in taps.into_iter().zip(weights) {
                // SAFETY: the last vector of the tap that reaches furthest lies in the image.
                let x = unsafe { s.load_ptr(self.image.as_ptr().add(corner + i * S::LANES + tap)) };
                sum = s.mul_add(weight, x, sum);
            }
            self.store(s, sum, out);
        }
    }

    /// The same for any number of places.
    #[inline(always)]
    fn sum_of_any<S: Simd>(self, s: S, corner: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_mut(S::LANES).enumerate() {
            let mut sum = s.splat(self.bias);
            for (tap, weight) in self.taps.iter().zip(self.weight) {
                let x = s.load(&self.image[corner + i * S::LANES + tap..]);
                sum = s.mul_add(s.splat(*weight), x, sum);
            }
            self.store(s, sum, out);
        }
    }

    #[inline(always)]
    fn store<S: Simd>(self, s: S, sum: S::F32, out: &mut [f32]) {
        let sum = self.bounds.apply(s, sum);
        if out.len() == S::LANES { s.store(sum, out) } else { s.store_partial(sum, out) }
    }
}
