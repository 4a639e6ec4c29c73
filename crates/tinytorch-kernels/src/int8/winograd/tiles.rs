//! The products of some tiles with a panel, and the sums of their outputs: `A^T m A`.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and vector")]

use super::super::finish::Staged;
use super::{OUT, PLACES, SIDE, place_numbers};
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL, by_isa};

/// Tiles whose sums are in registers together: by two vectors of columns, 8 of the 16 that AVX2 has. The images of
/// most networks are a multiple of four tiles wide.
pub(super) const MULTIPLIED_TOGETHER: usize = 4;

/// Pairs of channels between two looks at whether there are more.
const AT_ONCE: usize = GROUP / 2;

/// The sums over all channels at each place, for each tile and column.
#[repr(align(64))]
pub(super) struct Sums([[[i32; PANEL]; MULTIPLIED_TOGETHER]; PLACES]);

impl Sums {
    pub(super) fn new() -> Sums {
        Sums([[[0; PANEL]; MULTIPLIED_TOGETHER]; PLACES])
    }
}

/// Stages the sums of the upper and of the lower outputs of up to four tiles.
pub(super) struct Tiles<'t> {
    /// The transformed levels of each tile.
    pub(super) inputs: &'t [i32],
    /// The transformed weights of the panel.
    pub(super) weights: &'t [i32],
    /// Half the channels.
    pub(super) pairs: usize,
    pub(super) sums: &'t mut Sums,
    pub(super) staged: &'t mut [Staged; OUT],
}

impl Kernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        by_isa!(S, T => self.run_by::<S, { T.product_int8.whole[2].vectors }>(s));
    }
}

impl Tiles<'_> {
    /// The same with a panel that is `NV` vectors wide.
    #[inline(always)]
    fn run_by<S: Simd, const NV: usize>(self, s: S) {
        const R: usize = MULTIPLIED_TOGETHER;
        assert!(self.pairs.is_multiple_of(AT_ONCE), "channels come in groups of four");
        let tile = self.pairs * PLACES;
        let count = self.inputs.len() / tile;
        let stride = place_numbers(2 * self.pairs);
        assert!(count > 0 && self.weights.len() >= PLACES * stride);
        // Tiles beyond the last one repeat it, and are not staged.
        let mut levels = [self.inputs.as_ptr(); R];
        for r in 0..R {
            // SAFETY: the inputs hold `count` tiles.
            levels[r] = unsafe { levels[r].add(r.min(count - 1) * tile) };
        }
        let mut at = 0;
        for (place, weights) in self.sums.0.iter_mut().zip(self.weights.chunks(stride)) {
            let mut weights = weights.as_ptr();
            let mut sums = [[s.splat_i32(0); NV]; R];
            for _ in 0..self.pairs / AT_ONCE {
                // Two pairs at a time spare a tenth of the instructions.
                for _ in 0..AT_ONCE {
                    let mut vectors = [s.i32_to_bytes(s.splat_i32(0)); NV];
                    for v in 0..NV {
                        // SAFETY: a place has a panel for each of its numbers of a tile.
                        vectors[v] = unsafe { s.load_bytes(weights.add(v * S::LANES).cast()) };
                    }
                    for r in 0..R {
                        // SAFETY: `at` is less than the numbers of a tile.
                        let levels = unsafe { s.splat_bytes(levels[r].add(at).cast()) };
                        for v in 0..NV {
                            sums[r][v] = s.dot_wide(sums[r][v], levels, vectors[v]);
                        }
                    }
                    at += 1;
                    weights = weights.wrapping_add(PANEL);
                }
            }
            for r in 0..R {
                for v in 0..NV {
                    s.store_i32(sums[r][v], &mut place[r][v * S::LANES..]);
                }
            }
        }
        for r in 0..count.min(R) {
            for column in (0..PANEL).step_by(S::LANES) {
                stage(s, self.sums, self.staged, r, column);
            }
        }
    }
}

/// Stages the outputs of a tile for the vector of columns from `column` on.
#[inline(always)]
fn stage<S: Simd>(s: S, sums: &Sums, staged: &mut [Staged; OUT], tile: usize, column: usize) {
    let mut columns = [[s.splat_i32(0); OUT]; SIDE];
    for x in 0..SIDE {
        let mut line = [s.splat_i32(0); SIDE];
        for y in 0..SIDE {
            line[y] = s.load_i32(&sums.0[y * SIDE + x][tile][column..]);
        }
        columns[x] = outputs(s, line);
    }
    for y in 0..OUT {
        let line = [columns[0][y], columns[1][y], columns[2][y], columns[3][y]];
        let sums = outputs(s, line);
        for x in 0..OUT {
            s.store_i32(s.shr(sums[x], 2), &mut staged[y].row_mut(tile * OUT + x)[column..]);
        }
    }
}

/// One dimension of the sums.
#[inline(always)]
fn outputs<S: Simd>(s: S, [a, b, c, d]: [S::I32; SIDE]) -> [S::I32; OUT] {
    [s.add_i32(a, s.add_i32(b, c)), s.sub_i32(b, s.add_i32(c, d))]
}
