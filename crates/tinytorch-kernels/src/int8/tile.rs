//! The innermost loop: a tile of rows by vectors of columns, kept in registers along all of K.
//!
//! A tile that is written whole is finished where its sums are, in registers; the sums of others are
//! handed over in memory, to [`finish`](super::finish).

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and vector")]

use std::marker::PhantomData;

use super::columns::{COLUMNS, Columns};
use super::dot::Dot;
use super::finish::Staged;
use super::finish_whole::Whole;
use super::runs::Runs;
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL};

/// Bytes of the widest activation.
const MOST_LEVEL_BYTES: usize = 2;

/// The panels that a tile reads.
pub(super) struct TileWeights<'a> {
    /// The first group of the first panel.
    pub(super) start: *const i8,
    /// Bytes from a panel to the next.
    pub(super) panel_stride: usize,
    /// Columns of the tile.
    pub(super) width: usize,
    /// The last group of each panel, expanded, when `k` is not a multiple of 4.
    pub(super) tail: &'a [i8; COLUMNS * GROUP],
}

/// `MR` rows by `NV` vectors of columns, of which `AT` are summed together, in registers. With `SUMS` it
/// also sums the columns' weights; with `MASKED` its one panel is narrower than the vectors; with `BLOCKS` scales come in blocks.
pub(super) struct Tile<
    't,
    'a,
    D,
    const MR: usize,
    const NV: usize,
    const AT: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> {
    /// The first activation of each row, which takes [`Dot::LEVEL_BYTES`].
    pub(super) starts: [*const u8; MR],
    /// Where all activations end.
    pub(super) end: *const u8,
    pub(super) runs: Runs<'t>,
    pub(super) weights: &'t TileWeights<'t>,
    /// With `BLOCKS`, the groups of four in a block.
    pub(super) block_quads: usize,
    /// With `BLOCKS`, each row's zero point; nothing looks at them where [`Dot::IS_CENTERED`].
    pub(super) zero_points: [u8; MR],
    pub(super) columns: &'t mut Columns<'a>,
    /// Where the tile is written, if it is whole; otherwise its sums are staged.
    pub(super) whole: Option<Whole<'t>>,
    pub(super) staged: &'t mut Staged,
    pub(super) dot: PhantomData<D>,
}

/// The accumulators of some vectors of a tile.
#[derive(Copy, Clone)]
struct Sums<S: Simd, const MR: usize, const AT: usize> {
    dots: [[S::I32; AT]; MR],
    weights: [S::I32; AT],
}

impl<S: Simd, const MR: usize, const AT: usize> Sums<S, MR, AT> {
    #[inline(always)]
    fn zero(s: S) -> Sums<S, MR, AT> {
        let zero = s.splat_i32(0);
        Sums { dots: [[zero; AT]; MR], weights: [zero; AT] }
    }
}

impl<
    D: Dot,
    const MR: usize,
    const NV: usize,
    const AT: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> Kernel for Tile<'_, '_, D, MR, NV, AT, SUMS, MASKED, BLOCKS>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        const { assert!(NV.is_multiple_of(AT), "a tile is some times the vectors summed together") };
        for first in (0..NV).step_by(AT) {
            if BLOCKS { self.sum_blocks(s, first) } else { self.sum_all(s, first) }
        }
    }
}

impl<
    D: Dot,
    const MR: usize,
    const NV: usize,
    const AT: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> Tile<'_, '_, D, MR, NV, AT, SUMS, MASKED, BLOCKS>
{
    /// Hands over the sums of the vectors from `first` on over all of K.
    #[inline(always)]
    fn sum_all<S: Simd>(&mut self, s: S, first: usize) {
        let mut sums = Sums::zero(s);
        // SAFETY: `Product::assert_in_bounds` checked that all runs lie inside the activations, and that
        // together with the tail they are as long as the rows of the weight. A tail that was widened as a
        // whole group ends in the slack behind the widened activations, and its panel is filled up with it.
        unsafe { self.add_runs(s, &mut sums, first, self.runs.offsets, 0, self.runs.quads) };
        let sums = self.with_tail(s, sums, first, self.runs.tail > 0);
        for v in 0..AT {
            let column = (first + v) * S::LANES;
            if SUMS {
                s.store_i32(sums.weights[v], &mut self.columns.sums[column..]);
            }
            let mut rows = [s.splat_i32(0); MR];
            for r in 0..MR {
                rows[r] = sums.dots[r][v];
            }
            self.hand_over(s, column, rows);
        }
    }

    /// Writes the results of a vector of columns, or stages its sums.
    #[inline(always)]
    fn hand_over<S: Simd>(&mut self, s: S, column: usize, rows: [S::I32; MR]) {
        if let Some(whole) = &self.whole {
            return whole.write::<S, MR, BLOCKS>(s, self.columns, column, rows);
        }
        for r in 0..MR {
            s.store_i32(rows[r], &mut self.staged.row_mut(r)[column..]);
        }
    }

    /// Hands over, as floats, `sum over blocks of f32(sum - zero point * weight sum) * block scale`, for the
    /// vectors from `first` on.
    #[inline(always)]
    fn sum_blocks<S: Simd>(&mut self, s: S, first: usize) {
        let mut y = [[s.splat(0.0); AT]; MR];
        let mut group = 0;
        let blocks = self.columns.blocks();
        for block in 0..blocks {
            let quads = self.block_quads.min(self.runs.quads - group);
            let mut sums = Sums::zero(s);
            // SAFETY: as in `sum_all`; a product with blocks has a single run.
            unsafe { self.add_runs(s, &mut sums, first, &[group * GROUP], group, quads) };
            group += quads;
            let has_tail = block + 1 == blocks && self.runs.tail > 0;
            let mut sums = self.with_tail(s, sums, first, has_tail);
            for v in 0..AT {
                let columns = block * COLUMNS + (first + v) * S::LANES;
                if SUMS {
                    s.store_i32(sums.weights[v], &mut self.columns.sums[columns..]);
                }
                let scale = s.load_f16(&self.columns.block_scales[columns..]);
                if !D::IS_CENTERED {
                    let weight_sum = s.load_i32(&self.columns.sums[columns..]);
                    for r in 0..MR {
                        let zero_point = s.splat_i32(i32::from(self.zero_points[r]));
                        let dot = &mut sums.dots[r][v];
                        *dot = s.sub_i32(*dot, s.mul_i32(zero_point, weight_sum));
                    }
                }
                for r in 0..MR {
                    let centered = s.i32_to_f32(sums.dots[r][v]);
                    y[r][v] = s.add(y[r][v], s.mul(centered, scale));
                }
            }
        }
        for v in 0..AT {
            let mut rows = [s.splat_i32(0); MR];
            for r in 0..MR {
                rows[r] = s.to_bits(y[r][v]);
            }
            self.hand_over(s, (first + v) * S::LANES, rows);
        }
    }

    /// Adds, for each of `offsets` from the starts of the rows on, `quads` groups of four along K to the
    /// vectors from `first` on; `group` is the first group's place in the weights.
    ///
    /// It is one loop and not a loop over runs within which steps follow, for which the compiler
    /// keeps the accumulators in memory.
    ///
    /// # Safety
    /// `4 * quads` activations are readable at each offset, and the panels have the groups.
    #[inline(always)]
    unsafe fn add_runs<S: Simd>(
        &self,
        s: S,
        sums: &mut Sums<S, MR, AT>,
        first: usize,
        offsets: &[usize],
        group: usize,
        quads: usize,
    ) {
        // A group of widened weights takes two steps. They are one loop too: unrolled, products of 512 rows by
        // blocks took a fifth longer on AVX2.
        let (first_step, steps) = (group * D::WEIGHT_BYTES, quads * D::WEIGHT_BYTES);
        let step_bytes = GROUP * if MASKED { self.weights.width } else { PANEL };
        let (mut run, mut at, mut left) = (0, offsets[0] * D::LEVEL_BYTES, steps);
        for step in first_step..first_step + offsets.len() * steps {
            // SAFETY: the caller promises that the panels have the groups and the rows the values.
            unsafe {
                let weights = self.weights.start.add(step * step_bytes);
                let levels = self.starts.map(
                    #[inline(always)]
                    |start| start.add(at),
                );
                self.add_step::<S, D>(
                    s,
                    sums,
                    levels,
                    #[inline(always)]
                    |v| {
                        let column = (first + v) * S::LANES;
                        let panel = column / PANEL * self.weights.panel_stride;
                        if MASKED {
                            let lanes = self.weights.width.saturating_sub(column).min(S::LANES);
                            let column = column.min(self.weights.width);
                            s.load_bytes_partial(weights.add(column * GROUP), lanes)
                        } else {
                            s.load_bytes(weights.add(panel + column % PANEL * GROUP))
                        }
                    },
                );
            }
            at += D::STEP_BYTES;
            left -= 1;
            if left == 0 && run + 1 < offsets.len() {
                run += 1;
                (at, left) = (offsets[run] * D::LEVEL_BYTES, steps);
            }
        }
    }

    /// The sums with the last `k % 4` values along K, if there are any.
    ///
    /// Those have accumulators of their own: with the same ones, the compiler keeps some of them in memory
    /// throughout the loop along K, which took twice as long.
    #[inline(always)]
    fn with_tail<S: Simd>(
        &self,
        s: S,
        mut totals: Sums<S, MR, AT>,
        first: usize,
        has_tail: bool,
    ) -> Sums<S, MR, AT> {
        if has_tail {
            let mut tail = Sums::zero(s);
            self.add_tail(s, &mut tail, first);
            for v in 0..AT {
                totals.weights[v] = s.add_i32(totals.weights[v], tail.weights[v]);
                for r in 0..MR {
                    totals.dots[r][v] = s.add_i32(totals.dots[r][v], tail.dots[r][v]);
                }
            }
        }
        totals
    }

    /// Adds the last `k % 4` values along K, whose weights are bytes.
    #[inline(always)]
    fn add_tail<S: Simd>(&self, s: S, sums: &mut Sums<S, MR, AT>, first: usize) {
        let Runs { tail, tail_offset, .. } = self.runs;
        // SAFETY: `Product::assert_in_bounds` checked that the tail lies inside the activations.
        let mut tails = self.starts.map(|start| unsafe { start.add(tail_offset * D::LEVEL_BYTES) });
        // What follows the tail is multiplied by zeros, but must be there to be read.
        let mut copies = [[0; GROUP * MOST_LEVEL_BYTES]; MR];
        let read = GROUP * D::LEVEL_BYTES;
        if tails.iter().any(|tail| self.end.addr() - tail.addr() < read) {
            for (from, copy) in tails.iter_mut().zip(&mut copies) {
                // SAFETY: as above, and the copy is longer than the tail.
                unsafe { from.copy_to_nonoverlapping(copy.as_mut_ptr(), tail * D::LEVEL_BYTES) };
                *from = copy.as_ptr();
            }
        }
        let weights = self.weights.tail;
        // SAFETY: four values follow each of `tails`, in the activations or in a copy, and the expanded
        // tail of the weights holds four for each of the tile's columns.
        unsafe {
            self.add_step::<S, D::OfBytes>(
                s,
                sums,
                tails,
                #[inline(always)]
                |v| {
                    let first = (first + v) * S::LANES * GROUP;
                    s.load_bytes(weights[first..][..S::LANES * GROUP].as_ptr())
                },
            );
        }
    }

    /// Adds the products of the next activations of each row.
    ///
    /// # Safety
    /// [`Dot::STEP_BYTES`] bytes are readable at each of `levels`.
    #[inline(always)]
    unsafe fn add_step<S: Simd, E: Dot>(
        &self,
        s: S,
        sums: &mut Sums<S, MR, AT>,
        levels: [*const u8; MR],
        weights: impl Fn(usize) -> S::Bytes,
    ) {
        let weights: [E::Weights<S>; AT] = std::array::from_fn(
            #[inline(always)]
            |v| E::weights(s, weights(v)),
        );
        for r in 0..MR {
            // SAFETY: the caller promises readable bytes.
            let levels = unsafe { E::levels(s, levels[r]) };
            for v in 0..AT {
                sums.dots[r][v] = E::add(s, sums.dots[r][v], levels, weights[v]);
            }
        }
        if SUMS && !E::IS_CENTERED {
            // SAFETY: the array holds as many bytes as a step takes.
            let ones = unsafe { E::levels(s, [1; GROUP].as_ptr()) };
            for v in 0..AT {
                sums.weights[v] = E::add(s, sums.weights[v], ones, weights[v]);
            }
        }
    }
}
