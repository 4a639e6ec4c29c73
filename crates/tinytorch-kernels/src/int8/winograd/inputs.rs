//! What becomes of the levels: `B^T x B` for each tile and channel.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and column")]

use super::super::slab::Slab;
use super::{OUT, PLACES, SIDE};
use crate::isa::{Kernel, Simd};

/// Writes, tile by tile and place by place, the transformed levels of all channels, two in a number.
pub(super) struct TransformInputs<'t> {
    pub(super) slab: Slab<'t>,
    /// Rows and columns of the slab. A last tile that goes beyond them sees the last ones again, which only
    /// outputs meet that nobody wants.
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    pub(super) zero_point: u8,
    /// Tiles side by side.
    pub(super) across: usize,
    pub(super) to: &'t mut [i32],
}

/// One dimension of the transform.
#[inline(always)]
fn transform<S: Simd>(s: S, [a, b, c, d]: [S::Bytes; SIDE]) -> [S::Bytes; SIDE] {
    [s.sub_i16(a, c), s.add_i16(b, c), s.sub_i16(c, b), s.sub_i16(b, d)]
}

impl Kernel for TransformInputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let at_once = 2 * S::LANES;
        assert!(self.channels >= at_once, "a vector of channels is transformed together");
        let [height, width] = self.size;
        let tile_numbers = PLACES * self.channels / 2;
        for (y, tiles) in self.to.chunks_exact_mut(self.across * tile_numbers).enumerate() {
            let mut rows = [self.slab.pixels; SIDE];
            for (i, row) in rows.iter_mut().enumerate() {
                let y = (y * OUT + i).min(height - 1);
                *row = &row[y * self.slab.row_stride..][..width * self.channels];
            }
            for first in (0..self.channels).step_by(at_once) {
                // The last channels are some of those before where they fill no vector alone.
                let channel = first.min(self.channels - at_once);
                let Self { channels, zero_point, .. } = self;
                let pixels = Pixels { rows, width, channels, channel, zero_point };
                pixels.transform(s, tiles.chunks_exact_mut(tile_numbers));
            }
        }
    }
}

/// Some channels of the rows that a row of tiles sees.
struct Pixels<'t> {
    rows: [&'t [u8]; SIDE],
    width: usize,
    channels: usize,
    /// The first channel.
    channel: usize,
    zero_point: u8,
}

impl Pixels<'_> {
    /// Writes the transformed levels of each tile.
    #[inline(always)]
    fn transform<'a, S: Simd>(&self, s: S, tiles: impl Iterator<Item = &'a mut [i32]>) {
        let mut left = [self.column(s, 0), self.column(s, 1)];
        for (x, tile) in tiles.enumerate() {
            let right = [self.column(s, x * OUT + 2), self.column(s, x * OUT + 3)];
            let tile = &mut tile[..PLACES * self.channels / 2];
            for i in 0..SIDE {
                let places = transform(s, [left[0][i], left[1][i], right[0][i], right[1][i]]);
                for j in 0..SIDE {
                    let at = ((i * SIDE + j) * self.channels + self.channel) / 2;
                    s.store_i32(s.bytes_to_i32(places[j]), &mut tile[at..]);
                }
            }
            left = right;
        }
    }

    /// The column of pixels at `x`, transformed downwards.
    #[inline(always)]
    fn column<S: Simd>(&self, s: S, x: usize) -> [S::Bytes; SIDE] {
        let zero_point = s.i32_to_bytes(s.splat_i32(i32::from(self.zero_point) * 0x1_0001));
        let at = x.min(self.width - 1) * self.channels + self.channel;
        let mut column = [zero_point; SIDE];
        for (level, row) in column.iter_mut().zip(&self.rows) {
            *level = s.sub_i16(s.widen_u8(&row[at..]), zero_point);
        }
        transform(s, column)
    }
}
