//! The innermost loop: a tile of rows by vectors of columns, kept in registers along all of K.
//!
//! The sums are handed over in memory, to [`finish`](super::finish). A function that also finished
//! them indexed the accumulators in loops too large to unroll, which kept them in memory and took
//! as long as 16 groups along K.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and vector")]

use std::marker::PhantomData;

use super::columns::{COLUMNS, Columns};
use super::finish::Staged;
use super::runs::Runs;
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL};

/// How products are summed.
pub(super) trait Dot: Copy {
    type Quad<S: Simd>: Copy;
    type Weights<S: Simd>: Copy;
    type Sums<S: Simd>: Copy;

    /// Bytes of an activation.
    fn level_bytes<S: Simd>() -> usize;
    /// # Safety
    /// Four activations are readable.
    unsafe fn quad<S: Simd>(s: S, levels: *const u8) -> Self::Quad<S>;
    /// # Safety
    /// Four weights for each lane are readable.
    unsafe fn load_weights<S: Simd>(s: S, weights: *const i8) -> Self::Weights<S>;
    fn weights<S: Simd>(s: S, weights: S::Bytes) -> Self::Weights<S>;
    fn zero<S: Simd>(s: S) -> Self::Sums<S>;
    fn add<S: Simd>(
        s: S,
        sums: Self::Sums<S>,
        a: Self::Quad<S>,
        w: Self::Weights<S>,
    ) -> Self::Sums<S>;
    fn total<S: Simd>(s: S, sums: Self::Sums<S>) -> S::I32;
}

/// Right for all weights.
#[derive(Copy, Clone)]
pub(super) struct Exact;

impl Dot for Exact {
    type Quad<S: Simd> = S::Quad;
    type Weights<S: Simd> = S::Weights;
    type Sums<S: Simd> = S::Dots;

    #[inline(always)]
    fn level_bytes<S: Simd>() -> usize {
        S::LEVEL_BYTES
    }
    #[inline(always)]
    unsafe fn quad<S: Simd>(s: S, levels: *const u8) -> S::Quad {
        // SAFETY: as the caller promises.
        unsafe { s.splat_quad(levels) }
    }
    #[inline(always)]
    unsafe fn load_weights<S: Simd>(s: S, weights: *const i8) -> S::Weights {
        // SAFETY: as the caller promises.
        unsafe { s.load_weights(weights) }
    }
    #[inline(always)]
    fn weights<S: Simd>(s: S, weights: S::Bytes) -> S::Weights {
        s.weights(weights)
    }
    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::Dots {
        s.no_dots()
    }
    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::Dots, a: S::Quad, w: S::Weights) -> S::Dots {
        s.add_dots(sums, a, w)
    }
    #[inline(always)]
    fn total<S: Simd>(s: S, sums: S::Dots) -> S::I32 {
        s.sum_dots(sums)
    }
}

/// Right for weights that keep the pair rule.
#[derive(Copy, Clone)]
pub(super) struct PairRule;

impl Dot for PairRule {
    type Quad<S: Simd> = S::Bytes;
    type Weights<S: Simd> = S::Bytes;
    type Sums<S: Simd> = S::I32;

    #[inline(always)]
    fn level_bytes<S: Simd>() -> usize {
        1
    }
    #[inline(always)]
    unsafe fn quad<S: Simd>(s: S, levels: *const u8) -> S::Bytes {
        // SAFETY: as the caller promises.
        unsafe { s.splat_bytes(levels) }
    }
    #[inline(always)]
    unsafe fn load_weights<S: Simd>(s: S, weights: *const i8) -> S::Bytes {
        // SAFETY: as the caller promises.
        unsafe { s.load_bytes(weights) }
    }
    #[inline(always)]
    fn weights<S: Simd>(_: S, weights: S::Bytes) -> S::Bytes {
        weights
    }
    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::I32 {
        s.splat_i32(0)
    }
    #[inline(always)]
    fn add<S: Simd>(s: S, sums: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot_pair_rule(sums, a, w)
    }
    #[inline(always)]
    fn total<S: Simd>(_: S, sums: S::I32) -> S::I32 {
        sums
    }
}

/// The most bytes that an activation takes.
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
    /// The first activation of each row, which takes [`Dot::level_bytes`].
    pub(super) starts: [*const u8; MR],
    /// Where all activations end.
    pub(super) end: *const u8,
    pub(super) runs: Runs<'t>,
    pub(super) weights: &'t TileWeights<'t>,
    /// With `BLOCKS`, the groups of four in a block.
    pub(super) block_quads: usize,
    /// With `BLOCKS`, each row's zero point.
    pub(super) zero_points: [u8; MR],
    pub(super) columns: &'t mut Columns<'a>,
    pub(super) staged: &'t mut Staged,
    pub(super) dot: PhantomData<D>,
}

/// The accumulators of some vectors of a tile.
struct Sums<S: Simd, D: Dot, const MR: usize, const AT: usize> {
    dots: [[D::Sums<S>; AT]; MR],
    weights: [D::Sums<S>; AT],
}

impl<S: Simd, D: Dot, const MR: usize, const AT: usize> Sums<S, D, MR, AT> {
    #[inline(always)]
    fn zero(s: S) -> Sums<S, D, MR, AT> {
        let zero = D::zero(s);
        Sums { dots: [[zero; AT]; MR], weights: [zero; AT] }
    }

    #[inline(always)]
    fn total(self, s: S) -> Totals<S, MR, AT> {
        let mut totals = Totals { dots: [[s.splat_i32(0); AT]; MR], weights: [s.splat_i32(0); AT] };
        for v in 0..AT {
            totals.weights[v] = D::total(s, self.weights[v]);
            for r in 0..MR {
                totals.dots[r][v] = D::total(s, self.dots[r][v]);
            }
        }
        totals
    }
}

/// The sums of some vectors of a tile.
struct Totals<S: Simd, const MR: usize, const AT: usize> {
    dots: [[S::I32; AT]; MR],
    weights: [S::I32; AT],
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
    /// Stages the sums of the vectors from `first` on over all of K.
    #[inline(always)]
    fn sum_all<S: Simd>(&mut self, s: S, first: usize) {
        let mut sums = Sums::zero(s);
        // SAFETY: `Product::assert_in_bounds` checked that all runs lie inside the activations, and that
        // together with the tail they are as long as the rows of the weight.
        unsafe { self.add_runs(s, &mut sums, first, self.runs.offsets, 0, self.runs.quads) };
        let sums = self.with_tail(s, sums.total(s), first, self.runs.tail > 0);
        for v in 0..AT {
            let column = (first + v) * S::LANES;
            if SUMS {
                s.store_i32(sums.weights[v], &mut self.columns.sums[column..]);
            }
            for r in 0..MR {
                s.store_i32(sums.dots[r][v], &mut self.staged.row_mut(r)[column..]);
            }
        }
    }

    /// Stages, as floats, `sum over blocks of f32(sum - zero point * weight sum) * block scale`, for the
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
            let sums = self.with_tail(s, sums.total(s), first, has_tail);
            for v in 0..AT {
                let columns = block * COLUMNS + (first + v) * S::LANES;
                if SUMS {
                    s.store_i32(sums.weights[v], &mut self.columns.sums[columns..]);
                }
                let scale = s.load_f16(&self.columns.block_scales[columns..]);
                let weight_sum = s.load_i32(&self.columns.sums[columns..]);
                for r in 0..MR {
                    let zero_point = s.splat_i32(i32::from(self.zero_points[r]));
                    let centered = s.sub_i32(sums.dots[r][v], s.mul_i32(zero_point, weight_sum));
                    y[r][v] = s.add(y[r][v], s.mul(s.i32_to_f32(centered), scale));
                }
            }
        }
        for r in 0..MR {
            for v in 0..AT {
                let column = (first + v) * S::LANES;
                s.store_i32(s.to_bits(y[r][v]), &mut self.staged.row_mut(r)[column..]);
            }
        }
    }

    /// Adds, for each of `offsets` from the starts of the rows on, `quads` groups of four along K to the
    /// vectors from `first` on; `group` is the first group's place in the weights.
    ///
    /// It is one loop and not a loop over runs within which groups follow, for which the compiler
    /// keeps the accumulators in memory.
    ///
    /// # Safety
    /// `4 * quads` activations are readable at each offset, and the panels have the groups.
    #[inline(always)]
    unsafe fn add_runs<S: Simd>(
        &self,
        s: S,
        sums: &mut Sums<S, D, MR, AT>,
        first: usize,
        offsets: &[usize],
        group: usize,
        quads: usize,
    ) {
        let level_bytes = D::level_bytes::<S>();
        let group_bytes = GROUP * if MASKED { self.weights.width } else { PANEL };
        let (mut run, mut at, mut left) = (0, offsets[0] * level_bytes, quads);
        for group in group..group + offsets.len() * quads {
            // SAFETY: the caller promises that the panels have the groups and the rows the values.
            unsafe {
                let weights = self.weights.start.add(group * group_bytes);
                let quads = self.starts.map(
                    #[inline(always)]
                    |start| start.add(at),
                );
                self.add_group(
                    s,
                    sums,
                    quads,
                    #[inline(always)]
                    |v| {
                        let column = (first + v) * S::LANES;
                        let panel = column / PANEL * self.weights.panel_stride;
                        if MASKED {
                            let lanes = self.weights.width.saturating_sub(column).min(S::LANES);
                            let column = column.min(self.weights.width);
                            let some = s.load_bytes_partial(weights.add(column * GROUP), lanes);
                            D::weights(s, some)
                        } else {
                            D::load_weights(s, weights.add(panel + column % PANEL * GROUP))
                        }
                    },
                );
            }
            at += GROUP * level_bytes;
            left -= 1;
            if left == 0 && run + 1 < offsets.len() {
                run += 1;
                (at, left) = (offsets[run] * level_bytes, quads);
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
        mut totals: Totals<S, MR, AT>,
        first: usize,
        has_tail: bool,
    ) -> Totals<S, MR, AT> {
        if has_tail {
            let mut sums = Sums::zero(s);
            self.add_tail(s, &mut sums, first);
            let tail = sums.total(s);
            for v in 0..AT {
                totals.weights[v] = s.add_i32(totals.weights[v], tail.weights[v]);
                for r in 0..MR {
                    totals.dots[r][v] = s.add_i32(totals.dots[r][v], tail.dots[r][v]);
                }
            }
        }
        totals
    }

    /// Adds the last `k % 4` values along K.
    #[inline(always)]
    fn add_tail<S: Simd>(&self, s: S, sums: &mut Sums<S, D, MR, AT>, first: usize) {
        let level_bytes = D::level_bytes::<S>();
        let (offset, len) = (self.runs.tail_offset * level_bytes, self.runs.tail * level_bytes);
        // SAFETY: `Product::assert_in_bounds` checked that the tail lies inside the activations.
        let mut tails = self.starts.map(|start| unsafe { start.add(offset) });
        // What follows the tail is multiplied by zeros, but must be there to be read.
        let mut copies = [[0; GROUP * MOST_LEVEL_BYTES]; MR];
        if tails.iter().any(|tail| self.end.addr() - tail.addr() < GROUP * level_bytes) {
            for (tail, copy) in tails.iter_mut().zip(&mut copies) {
                // SAFETY: as above, and the copy is longer than the tail.
                unsafe { tail.copy_to_nonoverlapping(copy.as_mut_ptr(), len) };
                *tail = copy.as_ptr();
            }
        }
        let weights = self.weights.tail;
        // SAFETY: four values follow each of `tails`, in the activations or in a copy, and the expanded
        // tail of the weights holds four for each of the tile's columns.
        unsafe {
            self.add_group(
                s,
                sums,
                tails,
                #[inline(always)]
                |v| {
                    let first = (first + v) * S::LANES * GROUP;
                    D::load_weights(s, weights[first..][..S::LANES * GROUP].as_ptr())
                },
            );
        }
    }

    /// Adds one group of four along K.
    ///
    /// # Safety
    /// Four activations are readable at each of `quads`.
    #[inline(always)]
    unsafe fn add_group<S: Simd>(
        &self,
        s: S,
        sums: &mut Sums<S, D, MR, AT>,
        quads: [*const u8; MR],
        weights: impl Fn(usize) -> D::Weights<S>,
    ) {
        let weights: [D::Weights<S>; AT] = std::array::from_fn(weights);
        for r in 0..MR {
            // SAFETY: the caller promises four readable values.
            let quad = unsafe { D::quad(s, quads[r]) };
            for v in 0..AT {
                sums.dots[r][v] = D::add(s, sums.dots[r][v], quad, weights[v]);
            }
        }
        if SUMS {
            let mut ones = [0; GROUP * MOST_LEVEL_BYTES];
            ones.iter_mut().step_by(D::level_bytes::<S>()).for_each(|one| *one = 1);
            // SAFETY: the array holds four values.
            let ones = unsafe { D::quad(s, ones.as_ptr()) };
            for v in 0..AT {
                sums.weights[v] = D::add(s, sums.weights[v], ones, weights[v]);
            }
        }
    }
}
