//! What becomes of the pixels: `B^T x B` for each tile and channel.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and column")]

use super::{OUT, PLACES, SIDE, Tiles, WIDEST};
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::pairs::separate_behind;

/// Values of a row's even columns, and of its odd ones, that are staged: one more than there are tiles.
fn half_row(tiles: Tiles) -> usize {
    tiles.across + 1
}

/// Values that a channel takes while it is transformed.
pub(super) fn staged_len(tiles: Tiles) -> usize {
    (tiles.down * OUT + 2) * 2 * half_row(tiles) + WIDEST
}

/// Writes, place by place and channel by channel, the transformed pixels of all tiles.
pub(super) struct TransformPixels<'t> {
    pub(super) shape: &'t ConvShape,
    /// The images.
    pub(super) x: &'t [f32],
    /// The first row of outputs.
    pub(super) first_row: usize,
    pub(super) tiles: Tiles,
    /// Rows, each its even columns and then its odd ones.
    pub(super) staged: &'t mut [f32],
    pub(super) to: &'t mut [f32],
}

/// One dimension of the transform.
#[inline(always)]
fn transform<S: Simd>(s: S, [a, b, c, d]: [S::F32; SIDE]) -> [S::F32; SIDE] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

impl Kernel for TransformPixels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Tiles { images, down, across } = self.tiles;
        for channel in 0..self.shape.in_channels {
            for image in 0..images {
                self.stage(s, image * self.shape.in_channels + channel);
                for y in 0..down {
                    let first = channel * self.tiles.count() + (image * down + y) * across;
                    for x in (0..across).step_by(S::LANES) {
                        self.transform(s, first + x, y, x);
                    }
                }
            }
        }
    }
}

impl TransformPixels<'_> {
    /// Copies the rows of a channel of an image that the tiles see, with their padding.
    #[inline(always)]
    fn stage<S: Simd>(&mut self, s: S, plane: usize) {
        let ConvShape { height, width, padding: [[top, _], [left, _]], .. } = *self.shape;
        let half = half_row(self.tiles);
        let plane = &self.x[plane * height * width..][..height * width];
        let rows = self.staged.chunks_exact_mut(2 * half).take(self.tiles.down * OUT + 2);
        for (y, to) in rows.enumerate() {
            to.fill(0.0);
            let Some(y) = (self.first_row + y).checked_sub(top).filter(|&y| y < height) else {
                continue;
            };
            let (even, odd) = to.split_at_mut(half);
            separate_behind(s, left, &plane[y * width..][..width], even, odd);
        }
    }

    /// Transforms a vector of tiles, beyond the end of their row too.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, s: S, first: usize, y: usize, x: usize) {
        let (half, stride) = (half_row(self.tiles), self.tiles.stride(self.shape.in_channels));
        let corner = y * OUT * 2 * half + x;
        assert!(corner + 7 * half + 1 + S::LANES <= self.staged.len());
        assert!((PLACES - 1) * stride + first + S::LANES <= self.to.len());
        // SAFETY: the last value that is read, a tile's last row and last column, and the last that is
        // written, at its last place, lie in their slices.
        let (rows, to) =
            unsafe { (self.staged.as_ptr().add(corner), self.to.as_mut_ptr().add(first)) };
        // Sums of a row are loaded anew for each column of places: kept, they would fill all registers.
        let line = |a: usize, b: usize, add: bool| {
            let mut column = [s.splat(0.0); SIDE];
            for i in 0..SIDE {
                // SAFETY: as above.
                let [a, b] = [a, b].map(|at| unsafe { s.load_ptr(rows.add(i * 2 * half + at)) });
                column[i] = if add { s.add(a, b) } else { s.sub(a, b) };
            }
            transform(s, column)
        };
        let columns = [
            line(0, 1, false),
            line(half, 1, true),
            line(1, half, false),
            line(half, half + 1, false),
        ];
        let mut top = to;
        for column in columns {
            let mut place = top;
            for vector in column {
                // What is too much is overwritten by the next tiles, or lies behind the last.
                // SAFETY: as above.
                unsafe { s.store_ptr(vector, place) };
                place = place.wrapping_add(SIDE * stride);
            }
            top = top.wrapping_add(stride);
        }
    }
}
