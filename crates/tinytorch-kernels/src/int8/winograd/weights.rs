//! What becomes of the weights: `2 G w (2 G)^T` for each channel and column of a panel.

use super::super::panels::Packed;
use super::{SIDE, place_numbers};
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL};

/// Pixels along the side of the kernel.
const KERNEL: usize = 3;

/// Writes, place by place, for each two channels the transformed weights of all columns of a panel, 0 where
/// there is none.
pub(super) struct TransformPanel<'t> {
    pub(super) weight: Packed<'t>,
    pub(super) panel: usize,
    pub(super) channels: usize,
    pub(super) to: &'t mut [i32],
}

/// One dimension of the transform.
#[inline(always)]
fn transform<S: Simd>(s: S, [a, b, c]: [S::Bytes; KERNEL]) -> [S::Bytes; SIDE] {
    let outer = s.add_i16(a, c);
    [s.add_i16(a, a), s.add_i16(outer, b), s.sub_i16(outer, b), s.add_i16(c, c)]
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for first in (0..PANEL).step_by(S::LANES) {
            for quad in 0..self.channels / GROUP {
                self.transform(s, first, quad);
            }
        }
    }
}

impl TransformPanel<'_> {
    /// Transforms the weights of four channels, for the vector of columns from `first` on.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, s: S, first: usize, quad: usize) {
        let quads = self.channels / GROUP;
        let nothing = s.i32_to_bytes(s.splat_i32(0));
        let mut taps = [[[nothing; KERNEL]; KERNEL]; 2];
        for y in 0..KERNEL {
            for x in 0..KERNEL {
                let pairs = self.taps(s, first, (y * KERNEL + x) * quads + quad);
                (taps[0][y][x], taps[1][y][x]) = (pairs[0], pairs[1]);
            }
        }
        for (pair, taps) in taps.into_iter().enumerate() {
            let mut rows = [[nothing; SIDE]; KERNEL];
            for (row, taps) in rows.iter_mut().zip(taps) {
                *row = transform(s, taps);
            }
            for x in 0..SIDE {
                let column = transform(s, [rows[0][x], rows[1][x], rows[2][x]]);
                for (y, weights) in column.into_iter().enumerate() {
                    let place = (y * SIDE + x) * place_numbers(self.channels);
                    let at = place + (quad * 2 + pair) * PANEL + first;
                    s.store_i32(s.bytes_to_i32(weights), &mut self.to[at..]);
                }
            }
        }
    }

    /// A group of four weights of each column of a vector, as two pairs.
    #[inline(always)]
    fn taps<S: Simd>(&self, s: S, first: usize, group: usize) -> [S::Bytes; 2] {
        let width = self.weight.width(self.panel);
        let lanes = width.saturating_sub(first).min(S::LANES);
        let panel = self.weight.from(self.panel);
        let bytes = &panel[(group * width + first.min(width)) * GROUP..][..GROUP * lanes];
        // SAFETY: the slice holds four bytes for each of the lanes.
        s.widen_quads(unsafe { s.load_bytes_partial(bytes.as_ptr(), lanes) })
    }
}
