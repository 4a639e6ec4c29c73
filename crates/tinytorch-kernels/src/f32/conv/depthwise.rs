//! Convolution where each group has one input channel: too few multiplications for a matrix product.

use super::Lengths;
use crate::Isa;
use crate::f32::gemm::Unfolded;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::with_thread_scratch;
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
    let parts = DEPTHWISE_F32.shares(out.len() * lengths.window).min(planes);
    let out = SharedOut::new(out);
    split(planes, parts, &|range| {
        with_thread_scratch(|scratch| {
            for plane in range {
                let group = plane % shape.in_channels;
                let first = group * lengths.channels_out;
                let channels = first..first + lengths.channels_out;
                // SAFETY: each plane of the input has its own planes of the output.
                let out = unsafe { out.slice(plane * lengths.group_out, lengths.group_out) };
                let windows = Unfolded::new(&x[plane * lengths.group_in..], shape);
                let len = windows.staging_len(lengths.window, lengths.pixels);
                let image = scratch.arena(crate::scratch::bytes_for::<f32>(len)).take(len);
                isa.run(Plane {
                    windows,
                    image,
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
        let outputs =
            self.weight.chunks_exact(window).zip(self.out.chunks_exact_mut(height * width));
        for (channel, (weight, out)) in outputs.enumerate() {
            let start = s.splat(self.bias.map_or(0.0, |bias| bias[channel]));
            for (y, out) in out.chunks_exact_mut(width).enumerate() {
                for (i, out) in out.chunks_mut(S::LANES).enumerate() {
                    let corner = self.windows.corner(&staged, y, i * S::LANES);
                    let mut sum = start;
                    let mut weights = weight.iter();
                    self.windows.for_each_tap(&staged, 0..window, |tap| {
                        if let Some(weight) = weights.next() {
                            let x = s.load(&self.image[corner + tap..]);
                            sum = s.mul_add(s.splat(*weight), x, sum);
                        }
                    });
                    let sum = if self.relu { s.max(s.splat(0.0), sum) } else { sum };
                    s.store_partial(sum, out);
                }
            }
        }
    }
}
