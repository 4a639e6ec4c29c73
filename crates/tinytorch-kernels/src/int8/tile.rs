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

/// How four products are summed.
pub(super) trait Dot: Copy {
    fn dot<S: Simd>(s: S, acc: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32;
}

/// Right for all weights.
#[derive(Copy, Clone)]
pub(super) struct Exact;

impl Dot for Exact {
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot(acc, a, w)
    }
}

/// Right for weights that keep the pair rule.
#[derive(Copy, Clone)]
pub(super) struct PairRule;

impl Dot for PairRule {
    #[inline(always)]
    fn dot<S: Simd>(s: S, acc: S::I32, a: S::Bytes, w: S::Bytes) -> S::I32 {
        s.dot_pair_rule(acc, a, w)
    }
}

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

/// `MR` rows by `NV` vectors of columns. With `SUMS` it also sums the columns' weights; with
/// `MASKED` its one panel is narrower than the vectors; with `BLOCKS` scales come in blocks.
pub(super) struct Tile<
    't,
    'a,
    D,
    const MR: usize,
    const NV: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> {
    /// The first activation of each row.
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

/// The accumulators of a tile.
struct Sums<S: Simd, const MR: usize, const NV: usize> {
    dots: [[S::I32; NV]; MR],
    weights: [S::I32; NV],
}

impl<S: Simd, const MR: usize, const NV: usize> Sums<S, MR, NV> {
    #[inline(always)]
    fn zero(s: S) -> Sums<S, MR, NV> {
        let zero = s.splat_i32(0);
        Sums { dots: [[zero; NV]; MR], weights: [zero; NV] }
    }
}

impl<
    D: Dot,
    const MR: usize,
    const NV: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> Kernel for Tile<'_, '_, D, MR, NV, SUMS, MASKED, BLOCKS>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if BLOCKS { self.sum_blocks(s) } else { self.sum_all(s) }
    }
}

impl<
    D: Dot,
    const MR: usize,
    const NV: usize,
    const SUMS: bool,
    const MASKED: bool,
    const BLOCKS: bool,
> Tile<'_, '_, D, MR, NV, SUMS, MASKED, BLOCKS>
{
    /// Stages the sums over all of K.
    #[inline(always)]
    fn sum_all<S: Simd>(self, s: S) {
        let mut sums = Sums::zero(s);
        // SAFETY: `Product::assert_in_bounds` checked that all runs lie inside the activations, and that
        // together with the tail they are as long as the rows of the weight.
        unsafe { self.add_runs(s, &mut sums, self.runs.offsets, 0, self.runs.quads) };
        if self.runs.tail > 0 {
            self.add_tail(s, &mut sums);
        }
        for v in 0..NV {
            let column = v * S::LANES;
            if SUMS {
                s.store_i32(sums.weights[v], &mut self.columns.sums[column..]);
            }
            for r in 0..MR {
                s.store_i32(sums.dots[r][v], &mut self.staged.row_mut(r)[column..]);
            }
        }
    }

    /// Stages, as floats, `sum over blocks of f32(sum - zero point * weight sum) * block scale`.
    #[inline(always)]
    fn sum_blocks<S: Simd>(self, s: S) {
        let mut y = [[s.splat(0.0); NV]; MR];
        let mut group = 0;
        let blocks = self.columns.blocks();
        for block in 0..blocks {
            let quads = self.block_quads.min(self.runs.quads - group);
            let mut sums = Sums::zero(s);
            // SAFETY: as in `sum_all`; a product with blocks has a single run.
            unsafe { self.add_runs(s, &mut sums, &[group * GROUP], group, quads) };
            group += quads;
            if block + 1 == blocks && self.runs.tail > 0 {
                self.add_tail(s, &mut sums);
            }
            for v in 0..NV {
                let columns = block * COLUMNS + v * S::LANES;
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
            for v in 0..NV {
                s.store_i32(s.to_bits(y[r][v]), &mut self.staged.row_mut(r)[v * S::LANES..]);
            }
        }
    }

    /// Adds, for each of `offsets` from the starts of the rows on, `quads` groups of four along K;
    /// `group` is the first one's place in the weights.
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
        sums: &mut Sums<S, MR, NV>,
        offsets: &[usize],
        group: usize,
        quads: usize,
    ) {
        let group_bytes = GROUP * if MASKED { self.weights.width } else { PANEL };
        let (mut run, mut at, mut left) = (0, offsets[0], quads);
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
                        let column = v * S::LANES;
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
            at += GROUP;
            left -= 1;
            if left == 0 && run + 1 < offsets.len() {
                run += 1;
                (at, left) = (offsets[run], quads);
            }
        }
    }

    /// Adds the last `k % 4` values along K.
    #[inline(always)]
    fn add_tail<S: Simd>(&self, s: S, sums: &mut Sums<S, MR, NV>) {
        // SAFETY: `Product::assert_in_bounds` checked that the tail lies inside the activations.
        let mut tails = self.starts.map(|start| unsafe { start.add(self.runs.tail_offset) });
        // What follows the tail is multiplied by zeros, but must be there to be read.
        let mut copies = [[0; GROUP]; MR];
        if tails.iter().any(|tail| self.end.addr() - tail.addr() < GROUP) {
            for (tail, copy) in tails.iter_mut().zip(&mut copies) {
                // SAFETY: as above, and the copy is longer than the tail.
                unsafe { tail.copy_to_nonoverlapping(copy.as_mut_ptr(), self.runs.tail) };
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
                |v| s.load_bytes(weights[v * S::LANES * GROUP..][..S::LANES * GROUP].as_ptr()),
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
        sums: &mut Sums<S, MR, NV>,
        quads: [*const u8; MR],
        weights: impl Fn(usize) -> S::Bytes,
    ) {
        let weights: [S::Bytes; NV] = std::array::from_fn(weights);
        for r in 0..MR {
            // SAFETY: the caller promises four readable values.
            let quad = unsafe { s.splat_bytes(quads[r]) };
            for v in 0..NV {
                sums.dots[r][v] = D::dot(s, sums.dots[r][v], quad, weights[v]);
            }
        }
        if SUMS {
            // SAFETY: the constant holds four values.
            let ones = unsafe { s.splat_bytes([1u8; GROUP].as_ptr()) };
            for v in 0..NV {
                sums.weights[v] = D::dot(s, sums.weights[v], ones, weights[v]);
            }
        }
    }
}
