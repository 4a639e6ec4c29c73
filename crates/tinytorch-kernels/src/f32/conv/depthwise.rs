//! Convolution where each group has one input channel: too few multiplications for a matrix product.

use super::Lengths;
use super::copied::Copied;
use crate::Isa;
use crate::f32::Bounds;
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
    bounds: Bounds,
    out: &mut [f32],
) {
    let lengths = Lengths::of(shape);
    if out.is_empty() {
        return;
    }
    let planes = shape.batch * shape.in_channels;
    let copied = Copied::new(isa.lanes(), x, shape, &lengths);
    let image_len = copied.len(1, lengths.output[0]);
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(planes);
    let out = SharedOut::new(out);
    split(planes, parts, &|range| {
        with_thread_scratch(|scratch| {
            let bytes = bytes_for::<f32>(image_len) + bytes_for::<usize>(lengths.window);
            let mut arena = scratch.arena(bytes);
            let (image, taps) = (arena.take(image_len), arena.take(lengths.window));
            copied.offsets(lengths.output[0], taps);
            for plane in range {
                let group = plane % shape.in_channels;
                let first = group * lengths.channels_out;
                let channels = first..first + lengths.channels_out;
                // SAFETY: each plane of the input has its own planes of the output.
                let out = unsafe { out.slice(plane * lengths.group_out, lengths.group_out) };
                isa.run(Plane {
                    copied: copied.at_offset(plane * lengths.group_in),
                    height: lengths.output[0],
                    pixels: lengths.pixels,
                    image: &mut *image,
                    taps,
                    weight: &weight[channels.start * lengths.window..channels.end * lengths.window],
                    bias: bias.map(|bias| &bias[channels]),
                    bounds,
                    out,
                });
            }
        });
    });
}

struct Plane<'a> {
    copied: Copied<'a>,
    /// Rows of output.
    height: usize,
    /// Outputs of a channel.
    pixels: usize,
    image: &'a mut [f32],
    /// From the first value under the kernel to each of them.
    taps: &'a [usize],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    bounds: Bounds,
    out: &'a mut [f32],
}

impl Kernel for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (window, run) = (self.taps.len(), self.copied.run(self.height));
        self.copied.stage(s, 0..1, 0..self.height, self.image);
        let outputs = self.out.chunks_exact_mut(self.pixels);
        for (channel, (weight, out)) in self.weight.chunks_exact(window).zip(outputs).enumerate() {
            let row = Row {
                image: self.image,
                taps: self.taps,
                weight,
                bias: self.bias.map_or(0.0, |bias| bias[channel]),
                bounds: self.bounds,
            };
            for (i, out) in out.chunks_exact_mut(run).enumerate() {
                let corner = self.copied.start(i, self.height);
                // Kernels of 3 x 3 stay in registers.
                match window {
                    9 => row.sum::<S, 9>(s, corner, out),
                    _ => row.sum_of_any::<S>(s, corner, out),
                }
            }
        }
    }
}

/// What the values of a run of outputs are made of.
#[derive(Copy, Clone)]
struct Row<'a> {
    image: &'a [f32],
    taps: &'a [usize],
    weight: &'a [f32],
    bias: f32,
    bounds: Bounds,
}

impl Row<'_> {
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
