//! Depthwise convolution: every channel with a kernel of its own.
//!
//! There is no sum over channels, so lanes are channels. Four pixels under the kernel are brought
//! together byte by byte, which makes the packed weight's groups of four taps fit the same dot
//! product that matrices use.

use super::columns::{COLUMNS, Columns};
use super::conv_shape::ConvShape;
use super::finish::{Finish, Place, write};
use super::panels::{GROUP, PANEL};
use super::product::expand_tail;
use super::slab::Slab;
use super::{Epilogue, Panels, QParams};
use crate::isa::{Kernel, Simd};

/// The depthwise convolution of a slab.
pub(super) struct Depthwise<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) slab: Slab<'a>,
    /// Where each pixel under the kernel lies, from the first one on.
    pub(super) offsets: &'a [usize],
    pub(super) params: QParams,
    pub(super) weight: &'a Panels,
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) finish: Finish,
    pub(super) rows: usize,
    pub(super) out_width: usize,
    pub(super) columns: Columns<'a>,
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for panel in 0..self.weight.n().div_ceil(PANEL) {
            let width = self.weight.width(panel);
            let tail = expand_tail(self.weight, panel, width);
            self.columns.describe(self.epilogue, self.weight.k(), panel * PANEL, width);
            for first in (0..width).step_by(S::LANES) {
                self.channels(s, panel, first, &tail);
            }
        }
    }
}

impl Depthwise<'_> {
    /// Convolves up to `LANES` channels, from channel `first` of a panel on.
    #[inline(always)]
    fn channels<S: Simd>(&self, s: S, panel: usize, first: usize, tail: &[i8; COLUMNS * GROUP]) {
        let column = panel * PANEL + first;
        let lanes = S::LANES.min(self.weight.width(panel) - first);
        let quads = self.offsets.chunks_exact(GROUP);
        let weights = |quad: usize| {
            let group_bytes = GROUP * self.weight.width(panel);
            let start = quad * group_bytes + first * GROUP;
            let bytes = &self.weight.panels_from(panel)[start..start + lanes * GROUP];
            // SAFETY: the slice holds four values for each lane.
            unsafe { s.load_bytes_partial(bytes.as_ptr(), lanes) }
        };
        let tail_bytes = &tail[first * GROUP..][..S::LANES * GROUP];
        // SAFETY: the slice holds four values for each lane.
        let tail_weights = unsafe { s.load_bytes(tail_bytes.as_ptr()) };
        // SAFETY: the constant holds four values.
        let ones = unsafe { s.splat_bytes([1u8; GROUP].as_ptr()) };
        let zero = s.splat_i32(0);
        let weight_sum = (0..quads.len()).fold(zero, |sum, quad| s.dot(sum, ones, weights(quad)));
        let weight_sum = s.dot(weight_sum, ones, tail_weights);
        let zero_point = s.splat_i32(i32::from(self.params.zero_point));
        let correction = s.mul_i32(zero_point, weight_sum);
        let scale = s.mul(s.splat(self.params.scale), s.load(&self.columns.scales[first..]));
        let mut bias = [0.0; COLUMNS];
        bias[..S::LANES].copy_from_slice(&self.columns.bias[first..first + S::LANES]);

        let down = self.shape.stride[0] * self.slab.row_stride;
        let across = self.shape.stride[1] * self.shape.in_channels;
        for pixel in 0..self.rows * self.out_width {
            let start = pixel / self.out_width * down + pixel % self.out_width * across;
            let tap = |offset: &usize| self.load(s, start + offset, column, lanes);
            let mut sum = zero;
            for (quad, offsets) in quads.clone().enumerate() {
                let pixels = interleave(s, offsets, tap);
                sum = s.dot(sum, pixels, weights(quad));
            }
            if !quads.remainder().is_empty() {
                sum = s.dot(sum, interleave(s, quads.remainder(), tap), tail_weights);
            }
            let y = s.mul(s.i32_to_f32(s.sub_i32(sum, correction)), scale);
            let place = Place { rows: pixel..pixel + 1, first_column: column, width: lanes };
            if lanes == S::LANES {
                write::<S, 1, 1, false>(s, [[y]], &self.finish, &bias, &place);
            } else {
                write::<S, 1, 1, true>(s, [[y]], &self.finish, &bias, &place);
            }
        }
    }

    /// The input channels that belong to output channels from `column` on, of the pixel at `start`.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, start: usize, column: usize, lanes: usize) -> S::I32 {
        let multiplier = self.shape.out_channels / self.shape.in_channels;
        let pixels = &self.slab.pixels[start..];
        if multiplier == 1 && pixels.len() >= column + S::LANES {
            return s.load_u8(&pixels[column..]);
        }
        let mut bytes = [0; PANEL];
        for (lane, byte) in bytes.iter_mut().enumerate().take(lanes) {
            *byte = pixels[(column + lane) / multiplier];
        }
        s.load_u8(&bytes)
    }
}

/// Up to four pixels, byte by byte in each lane.
#[inline(always)]
fn interleave<S: Simd>(s: S, offsets: &[usize], tap: impl Fn(&usize) -> S::I32) -> S::Bytes {
    let mut bytes = s.splat_i32(0);
    for (i, offset) in offsets.iter().enumerate() {
        bytes = s.or_i32(bytes, s.shl(tap(offset), 8 * i as u32));
    }
    s.i32_to_bytes(bytes)
}
