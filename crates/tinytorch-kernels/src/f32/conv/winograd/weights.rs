//! What becomes of the weights: `G w G^T` for each pair of channels.

use super::{PLACES, SIDE, WIDEST, Winograd};
use crate::isa::{Kernel, Simd};
use crate::tuning::A_PANEL;
use std::ops::Range;

/// Pixels along the side of the kernel.
const KERNEL: usize = 3;

/// The weights of a panel's output channels for one input channel.
const TAPS: usize = KERNEL * KERNEL * A_PANEL;

/// From the panels of a place to those of the next. Not a power of two, see [`Tiles::stride`](super::Tiles::stride).
pub(super) fn stride(in_channels: usize, panels: usize) -> usize {
    in_channels * panels * A_PANEL + WIDEST
}

/// Writes, place by place, panels of a matrix: output channels by input channels.
pub(super) struct TransformWeights<'t> {
    /// Panel by panel, and for each input channel, nine lines of weights of the panel's output channels.
    from: &'t [f32],
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
        let panel = channels * TAPS;
        let from = &winograd.weight.values()[panels.start * panel..panels.end * panel];
        TransformWeights { from, stride: stride(channels, panels.len()), to }
    }
}

/// One dimension of the transform.
#[inline(always)]
fn transform<S: Simd>(s: S, [a, b, c]: [S::F32; KERNEL]) -> [S::F32; SIDE] {
    let (outer, half) = (s.add(a, c), s.splat(0.5));
    [a, s.mul(half, s.add(outer, b)), s.mul(half, s.sub(outer, b)), c]
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let last = (PLACES - 1) * self.stride + self.from.len() / TAPS * A_PANEL;
        assert!(last + S::LANES.max(A_PANEL) - A_PANEL <= self.to.len());
        let mut to = self.to.as_mut_ptr();
        for taps in self.from.chunks_exact(TAPS) {
            for lane in (0..A_PANEL).step_by(S::LANES) {
                // What a wider vector sees behind the last line may not be there.
                let line = |tap: usize| s.load_partial(&taps[tap * A_PANEL + lane..]);
                let mut rows = [[s.splat(0.0); SIDE]; KERNEL];
                for (y, row) in rows.iter_mut().enumerate() {
                    *row = transform(s, [line(3 * y), line(3 * y + 1), line(3 * y + 2)]);
                }
                let mut first = to.wrapping_add(lane);
                for x in 0..SIDE {
                    let mut place = first;
                    for value in transform(s, [rows[0][x], rows[1][x], rows[2][x]]) {
                        // SAFETY: the last vector at the last place lies in `to`. What a wider one writes behind its line,
                        // the next one overwrites.
                        unsafe { s.store_ptr(value, place) };
                        place = place.wrapping_add(SIDE * self.stride);
                    }
                    first = first.wrapping_add(self.stride);
                }
            }
            to = to.wrapping_add(A_PANEL);
        }
    }
}
