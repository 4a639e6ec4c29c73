//! Convolution where each group has one input channel: too few multiplications for a matrix product.

use super::Lengths;
use crate::Isa;
use crate::f32::gemm::Unfolded;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::DEPTHWISE_F32;

pub(super) fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.groups == shape.in_channels
}

/// As [`conv2d`](super::conv2d), which has checked the lengths.
pub(super) fn depthwise(
    isa: Isa,
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    out: &mut [f32],
) {
    let lengths = Lengths::of(shape);
    if out.is_empty() {
        return;
    }
    let planes = shape.batch * shape.in_channels;
    let windows = Unfolded::new(x, shape);
    let image_len = windows.staging_len(lengths.window, lengths.pixels);
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(planes);
    let out = SharedOut::new(out);
    split(planes, parts, &|range| {
        with_thread_scratch(|scratch| {
            let bytes = bytes_for::<f32>(image_len) + bytes_for::<usize>(lengths.window);
            let mut arena = scratch.arena(bytes);
            let (image, taps) = (arena.take(image_len), arena.take(lengths.window));
            for plane in range {
                let group = plane % shape.in_channels;
                let first = group * lengths.channels_out;
                let channels = first..first + lengths.channels_out;
                // SAFETY: each plane of the input has its own planes of the output.
                let out = unsafe { out.slice(plane * lengths.group_out, lengths.group_out) };
                isa.run(Plane {
                    windows: windows.at_offset(plane * lengths.group_in),
                    image: &mut *image,
                    taps: &mut *taps,
                    weight: &weight[channels.start * lengths.window..channels.end * lengths.window],
                    bias: bias.map(|bias| &bias[channels]),
                    relu,
                    out,
                });
            }
        });
    });
}

struct Plane<'a> {
    windows: Unfolded<'a>,
    image: &'a mut [f32],
    /// From the first value under the kernel to each of them.
    taps: &'a mut [usize],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    out: &'a mut [f32],
}

impl Kernel for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [height, width] = self.windows.output();
        let window = self.windows.rows();
        let staged = self.windows.stage(s, 0..1, 0..height, self.image);
        let mut taps = self.taps.iter_mut();
        self.windows.for_each_tap(&staged, 0..window, |place| {
            taps.next().into_iter().for_each(|tap| *tap = place);
        });
        let outputs =
            self.weight.chunks_exact(window).zip(self.out.chunks_exact_mut(height * width));
        for (channel, (weight, out)) in outputs.enumerate() {
            let row = Row {
                image: self.image,
                taps: self.taps,
                weight,
                bias: self.bias.map_or(0.0, |bias| bias[channel]),
                relu: self.relu,
            };
            for (y, out) in out.chunks_exact_mut(width).enumerate() {
                let corner = self.windows.corner(&staged, y, 0);
                // Kernels of 3 x 3 stay in registers.
                match window {
                    9 => row.sum::<S, 9>(s, corner, out),
                    _ => row.sum_of_any::<S>(s, corner, out),
                }
            }
        }
    }
}

/// What the values of a row of outputs are made of.
#[derive(Copy, Clone)]
struct Row<'a> {
    image: &'a [f32],
    taps: &'a [usize],
    weight: &'a [f32],
    bias: f32,
    relu: bool,
}

impl Row<'_> {
    /// The row whose first window starts at `corner`, of `TAPS` places.
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
        let sum = if self.relu { s.max(s.splat(0.0), sum) } else { sum };
        s.store_partial(sum, out);
    }
}
