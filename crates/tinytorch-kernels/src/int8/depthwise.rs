//! Depthwise convolution: every channel with a kernel of its own.
//!
//! There is no sum over channels, so lanes are channels. Four pixels under the kernel are brought
//! together byte by byte, which makes the packed weight's groups of four taps fit the same dot
//! product that matrices use.

use super::columns::{COLUMNS, Columns};
use super::conv_shape::ConvShape;
use super::finish::{Finish, FinishTile, Place, ROWS, Stage, Staged};
use super::panels::{GROUP, PANEL, Packed};
use super::slab::Slab;
use super::{Epilogue, QParams, RowParams};
use crate::isa::{Kernel, Simd};

/// The depthwise convolution of a slab.
pub(super) struct Depthwise<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) slab: Slab<'a>,
    /// Where each pixel under the kernel lies, from the first one on.
    pub(super) offsets: &'a [usize],
    pub(super) params: QParams,
    pub(super) weight: Packed<'a>,
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) finish: Finish,
    pub(super) rows: usize,
    pub(super) out_width: usize,
    pub(super) columns: Columns<'a>,
    pub(super) staged: Staged,
}

/// The last weights of a panel's channels, as full groups.
type Tail = [i8; COLUMNS * GROUP];

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for panel in 0..self.weight.n.div_ceil(PANEL) {
            let width = self.weight.width(panel);
            let tail = self.weight.expanded_tail(panel, width);
            self.columns.describe(self.epilogue, self.weight.k, panel * PANEL, width);
            for first in (0..width).step_by(S::LANES) {
                self.sum_weights(s, panel, first, &tail);
            }
            if self.shape.out_channels == self.shape.in_channels {
                self.panel::<S, true>(s, panel, &tail);
            } else {
                self.panel::<S, false>(s, panel, &tail);
            }
        }
    }
}

impl Depthwise<'_> {
    /// Sums the weights of up to `LANES` channels, from channel `first` of a panel on.
    #[inline(always)]
    fn sum_weights<S: Simd>(&mut self, s: S, panel: usize, first: usize, tail: &Tail) {
        // SAFETY: the constant holds four values.
        let ones = unsafe { s.splat_bytes([1u8; GROUP].as_ptr()) };
        let mut sum = s.splat_i32(0);
        for group in 0..self.offsets.len().div_ceil(GROUP) {
            sum = s.dot(sum, ones, self.weights(s, panel, first, group, tail));
        }
        s.store_i32(sum, &mut self.columns.sums[first..]);
    }

    /// Convolves the channels of a panel; `SAME` if each has an input channel of its own.
    #[inline(always)]
    fn panel<S: Simd, const SAME: bool>(&mut self, s: S, panel: usize, tail: &Tail) {
        let width = self.weight.width(panel);
        let down = self.shape.stride[0] * self.slab.row_stride;
        let across = self.shape.stride[1] * self.shape.in_channels;
        let groups = self.offsets.len().div_ceil(GROUP);
        for row in 0..self.rows {
            for from in (0..self.out_width).step_by(ROWS) {
                let to = self.out_width.min(from + ROWS);
                for first in (0..width).step_by(S::LANES) {
                    let column = panel * PANEL + first;
                    for x in from..to {
                        let pixels = &self.slab.pixels[row * down + x * across..];
                        let mut sum = s.splat_i32(0);
                        for group in 0..groups {
                            let taps = self.interleave::<S, SAME>(s, pixels, group, column);
                            sum = s.dot(sum, taps, self.weights(s, panel, first, group, tail));
                        }
                        s.store_i32(sum, &mut self.staged.row_mut(x - from)[first..]);
                    }
                }
                let pixel = row * self.out_width;
                s.call(FinishTile {
                    staged: &mut self.staged,
                    stage: Stage::Sums,
                    columns: &self.columns,
                    params: RowParams::Tensor(self.params),
                    finish: &self.finish,
                    place: Place {
                        rows: pixel + from..pixel + to,
                        first_column: panel * PANEL,
                        width,
                    },
                });
            }
        }
    }

    /// A group of four weights of each of up to `LANES` channels, from channel `first` of a panel
    /// on.
    #[inline(always)]
    fn weights<S: Simd>(
        &self,
        s: S,
        panel: usize,
        first: usize,
        group: usize,
        tail: &Tail,
    ) -> S::Bytes {
        let width = self.weight.width(panel);
        let (bytes, lanes) = if group < self.offsets.len() / GROUP {
            let lanes = S::LANES.min(width - first);
            let start = GROUP * (group * width + first);
            (&self.weight.from(panel)[start..start + GROUP * lanes], lanes)
        } else {
            (&tail[first * GROUP..][..S::LANES * GROUP], S::LANES)
        };
        // SAFETY: the slice holds four values for each lane.
        unsafe { s.load_bytes_partial(bytes.as_ptr(), lanes) }
    }

    /// A group of up to four pixels under the kernel, byte by byte in each lane. `pixels` start
    /// with the first one under it.
    // Loops and no closures: a closure that is not inlined is not compiled for the instruction
    // set, which made this ten times slower.
    #[inline(always)]
    fn interleave<S: Simd, const SAME: bool>(
        &self,
        s: S,
        pixels: &[u8],
        group: usize,
        column: usize,
    ) -> S::Bytes {
        let mut bytes = s.splat_i32(0);
        for i in 0..GROUP {
            if let Some(offset) = self.offsets.get(group * GROUP + i) {
                let pixel = self.load::<S, SAME>(s, &pixels[*offset..], column);
                bytes = s.or_i32(bytes, s.shl(pixel, 8 * i as u32));
            }
        }
        s.i32_to_bytes(bytes)
    }

    /// The input channels that belong to output channels from `column` on, of the first of
    /// `pixels`.
    #[inline(always)]
    fn load<S: Simd, const SAME: bool>(&self, s: S, pixels: &[u8], column: usize) -> S::I32 {
        if SAME {
            // The slab is longer than its last pixel by more than a vector.
            return s.load_u8(&pixels[column..]);
        }
        let multiplier = self.shape.out_channels / self.shape.in_channels;
        let mut bytes = [0; PANEL];
        for (lane, byte) in bytes.iter_mut().enumerate().take(S::LANES) {
            *byte = pixels[(column + lane) / multiplier];
        }
        s.load_u8(&bytes)
    }
}
