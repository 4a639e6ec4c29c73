//! What becomes of the weights: `G w G^T` for each pair of channels.

use super::{SIDE, WIDEST, Winograd};
use crate::isa::{Kernel, Simd};
use crate::tuning::A_PANEL;
use std::ops::Range;

/// Pixels along the side of the kernel.
const KERNEL: usize = 3;

/// The weights of a panel's output channels for one input channel at one place.
type Lines = [f32; A_PANEL];

/// From the panels of a place to those of the next. Not a power of two, see [`Tiles::stride`](super::Tiles::stride).
pub(super) fn stride(in_channels: usize, panels: usize) -> usize {
    in_channels * panels * A_PANEL + WIDEST
}

/// Writes, place by place, panels of a matrix: output channels by input channels.
pub(super) struct TransformWeights<'t> {
    /// For each input channel, the nine weights of a panel's output channels.
    from: &'t [[Lines; KERNEL * KERNEL]],
    stride: usize,
    to: &'t mut [f32],
}

impl<'t> TransformWeights<'t> {
    /// Of some panels of the weights.
    pub(super) fn new(
        winograd: &Winograd<'t>,
        panels: Range<usize>,
        to: &'t mut [f32],
    ) -> TransformWeights<'t> {
        let channels = winograd.shape.in_channels;
        let from = winograd.weight.values().as_chunks::<A_PANEL>().0.as_chunks().0;
        let stride = stride(channels, panels.len());
        TransformWeights { from: &from[panels.start * channels..panels.end * channels], stride, to }
    }
}

/// One dimension of the transform.
#[inline(always)]
fn transform([a, b, c]: [Lines; KERNEL]) -> [Lines; SIDE] {
    let (mut sum, mut difference) = ([0.0; A_PANEL], [0.0; A_PANEL]);
    for i in 0..A_PANEL {
        let outer = a[i] + c[i];
        sum[i] = 0.5 * (outer + b[i]);
        difference[i] = 0.5 * (outer - b[i]);
    }
    [a, sum, difference, c]
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let to = self.to.as_chunks_mut::<A_PANEL>().0;
        let stride = self.stride / A_PANEL;
        for (i, taps) in self.from.iter().enumerate() {
            let rows =
                [0, 1, 2].map(|y| transform([taps[3 * y], taps[3 * y + 1], taps[3 * y + 2]]));
            for x in 0..SIDE {
                let column = transform([rows[0][x], rows[1][x], rows[2][x]]);
                for y in 0..SIDE {
                    to[(y * SIDE + x) * stride + i] = column[y];
                }
            }
        }
    }
}
