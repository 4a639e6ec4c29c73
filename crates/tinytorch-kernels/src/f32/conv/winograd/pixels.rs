//! What becomes of the pixels: `B^T x B` for each tile and channel.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and column")]

use super::{OUT, SIDE, Tiles, WIDEST};
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};

/// Values of a row's even columns, and of its odd ones, that are staged: one more than there are tiles.
fn half_row(tiles: Tiles) -> usize {
    tiles.across + 1
}

/// Values that a channel takes while it is transformed, and a row on its way there.
pub(super) fn staged_len(tiles: Tiles) -> usize {
    ((tiles.down * OUT + 2) * 2 + 2) * half_row(tiles) + WIDEST
}

/// Writes, place by place and channel by channel, the transformed pixels of all tiles.
pub(super) struct TransformPixels<'t> {
    pub(super) shape: &'t ConvShape,
    /// The images.
    pub(super) x: &'t [f32],
    /// The first row of outputs.
    pub(super) first_row: usize,
    pub(super) tiles: Tiles,
    /// A row, then rows, each its even columns and then its odd ones.
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
                self.stage(image * self.shape.in_channels + channel);
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
    fn stage(&mut self, plane: usize) {
        let ConvShape { height, width, padding: [[top, _], [left, _]], .. } = *self.shape;
        let half = half_row(self.tiles);
        let plane = &self.x[plane * height * width..][..height * width];
        let (row, rows) = self.staged.split_at_mut(2 * half);
        let (before, inside) = row.split_at_mut(left.min(2 * half));
        before.fill(0.0);
        let seen = width.min(inside.len());
        inside[seen..].fill(0.0);
        let rows = rows.chunks_exact_mut(2 * half).take(self.tiles.down * OUT + 2);
        for (y, to) in rows.enumerate() {
            let y = (self.first_row + y).checked_sub(top).filter(|&y| y < height);
            let Some(y) = y else {
                to.fill(0.0);
                continue;
            };
            row[left.min(2 * half)..][..seen].copy_from_slice(&plane[y * width..][..seen]);
            let (even, odd) = to.split_at_mut(half);
            separate(row, even, odd);
        }
    }

    /// Transforms a vector of tiles, beyond the end of their row too.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, s: S, first: usize, y: usize, x: usize) {
        let half = half_row(self.tiles);
        let rows = &self.staged[2 * half..];
        let nothing = s.splat(0.0);
        let mut lines = [[nothing; SIDE]; SIDE];
        for i in 0..SIDE {
            let even = (y * OUT + i) * 2 * half + x;
            let odd = even + half;
            let places = [even, odd, even + 1, odd + 1];
            let mut line = [nothing; SIDE];
            for j in 0..SIDE {
                line[j] = s.load(&rows[places[j]..]);
            }
            lines[i] = transform(s, line);
        }
        let stride = self.tiles.stride(self.shape.in_channels);
        for j in 0..SIDE {
            let column = transform(s, [lines[0][j], lines[1][j], lines[2][j], lines[3][j]]);
            for i in 0..SIDE {
                // What is too much is overwritten by the next tiles, or lies behind the last.
                s.store(column[i], &mut self.to[(i * SIDE + j) * stride + first..]);
            }
        }
    }
}

/// Copies every other value, eight pairs at a time as long as there are so many.
#[inline(always)]
fn separate(row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    const PAIRS: usize = 8;
    let (sixteens, rest) = row.as_chunks::<{ 2 * PAIRS }>();
    let (evens, even) = even.as_chunks_mut::<PAIRS>();
    let (odds, odd) = odd.as_chunks_mut::<PAIRS>();
    for ((pairs, even), odd) in sixteens.iter().zip(evens).zip(odds) {
        for i in 0..PAIRS {
            (even[i], odd[i]) = (pairs[2 * i], pairs[2 * i + 1]);
        }
    }
    for ((pair, even), odd) in rest.as_chunks::<2>().0.iter().zip(even).zip(odd) {
        (*even, *odd) = (pair[0], pair[1]);
    }
}
