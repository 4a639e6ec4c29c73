//! The loops around a tile: which rows meet which panels, and on which thread.
//!
//! A matrix product and a convolution differ only in where the values of a row of activations
//! lie, so both are a [`Product`].

use std::ops::Range;

use super::columns::Columns;
use super::finish::{Finish, FinishTile, Place, Stage, Staged};
use super::gemm::{Epilogue, RowParams, Scales};
use super::name::kernel_names;
use super::panels::{GROUP, PANEL, Packed};
use super::tile::{Dot, Exact, PairRule, Tile, TileWeights};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, pieces, split};
use crate::scratch::bytes_for;
use crate::{Isa, Scratch};

/// Multiply-adds per thread below which a product stays on one thread.
const LEAST_PER_THREAD: usize = 1 << 20;

/// Panels of the widest tile.
const TILE_PANELS: usize = 4;

/// Bytes of activations that stay in the second-level cache while all panels pass by: half of the
/// smallest such cache among server CPUs, 1 MB.
const ROW_BLOCK_BYTES: usize = 512 << 10;

/// Rows that a block has at least, and a multiple of: whole tiles, whatever their height.
const LEAST_ROW_BLOCK: usize = 48;

/// Where the rows of the activations start: row `i` at
/// `i / inner * outer_stride + i % inner * inner_stride`.
#[derive(Copy, Clone)]
pub(super) struct Rows<'a> {
    pub(super) start: &'a [u8],
    pub(super) inner: usize,
    pub(super) outer_stride: usize,
    pub(super) inner_stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `row` on, one after the other.
    fn walk(self, row: usize) -> RowWalk<'a> {
        RowWalk { outer: row / self.inner, inner: row % self.inner, rows: self }
    }
}

/// Where a walk along the rows has come to: a division per row would take longer than four dot
/// products.
struct RowWalk<'a> {
    rows: Rows<'a>,
    outer: usize,
    inner: usize,
}

impl RowWalk<'_> {
    /// The starts of the next `count` rows, the last one repeated up to `MR`.
    #[inline(always)]
    fn next<const MR: usize>(&mut self, count: usize) -> [*const u8; MR] {
        let mut starts = [std::ptr::null(); MR];
        for r in 0..MR {
            if r >= count {
                starts[r] = starts[r - 1];
                continue;
            }
            let Rows { start, inner, outer_stride, inner_stride } = self.rows;
            starts[r] = start[self.outer * outer_stride + self.inner * inner_stride..].as_ptr();
            self.inner += 1;
            if self.inner == inner {
                (self.outer, self.inner) = (self.outer + 1, 0);
            }
        }
        starts
    }
}

/// Where the `k` values of a row lie: in runs of `quads` times four values at each of `offsets`,
/// then `tail < 4` values at `tail_offset`.
#[derive(Copy, Clone)]
pub(super) struct Runs<'a> {
    pub(super) offsets: &'a [usize],
    pub(super) quads: usize,
    pub(super) tail: usize,
    pub(super) tail_offset: usize,
}

impl Runs<'_> {
    /// `k` values side by side.
    pub(super) fn contiguous(k: usize) -> Runs<'static> {
        Runs { offsets: &[0], quads: k / GROUP, tail: k % GROUP, tail_offset: k / GROUP * GROUP }
    }

    /// Values from the row's start to the end of what is read.
    fn extent(&self) -> usize {
        let last = self.offsets.iter().max().map_or(0, |last| last + self.quads * GROUP);
        if self.tail > 0 { last.max(self.tail_offset + self.tail) } else { last }
    }
}

/// An int8 product whose sizes have been checked.
pub(super) struct Product<'a> {
    pub(super) m: usize,
    pub(super) rows: Rows<'a>,
    pub(super) runs: Runs<'a>,
    pub(super) params: RowParams<'a>,
    pub(super) weight: Packed<'a>,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) finish: Finish,
}

impl Product<'_> {
    /// Multiplies on the threads of the current pool, and returns the name of the kernel that ran.
    pub(super) fn run(&self, isa: Isa, scratch: &mut Scratch) -> &'static str {
        let panels = self.panels();
        let work = self.m * self.finish.columns.len() * self.weight.k.max(1);
        let pieces = pieces(work, LEAST_PER_THREAD).min(self.m.max(panels.len()).max(1));
        // Cutting the columns lets each thread read its own part of the weights.
        let by_panels = panels.len() >= pieces * 4 || panels.len() >= self.m;
        let len = Columns::numbers(&self.epilogue, self.weight.k);
        let mut arena = scratch.arena(bytes_for::<i32>(pieces * len));
        let numbers = SharedOut::new(arena.take::<i32>(pieces * len));
        split(pieces, pieces, &|range| {
            for piece in range {
                let part = |all: Range<usize>, unit: usize| {
                    let units = all.len().div_ceil(unit);
                    let cut = |i: usize| all.end.min(all.start + units * i / pieces * unit);
                    cut(piece)..cut(piece + 1)
                };
                // SAFETY: each piece has its own part of the scratch.
                let numbers = unsafe { numbers.slice(piece * len, len) };
                if by_panels {
                    self.run_part(isa, 0..self.m, part(panels.clone(), TILE_PANELS), numbers);
                } else {
                    self.run_part(isa, part(0..self.m, 1), panels.clone(), numbers);
                }
            }
        });
        let vector = self.m == 1;
        let blocks = matches!(self.epilogue.scales, Scales::Blocks { .. });
        let names = match (vector, blocks) {
            (true, false) => kernel_names!("gemv_int8"),
            (false, false) => kernel_names!("gemm_int8"),
            (true, true) => kernel_names!("gemv_int8_blocks"),
            (false, true) => kernel_names!("gemm_int8_blocks"),
        };
        names.of(isa, self.weight.pair_rule)
    }

    /// Multiplies on this thread, with [`Columns::numbers`] numbers of scratch.
    pub(super) fn run_here(&self, isa: Isa, numbers: &mut [i32]) {
        self.run_part(isa, 0..self.m, self.panels(), numbers);
    }

    fn run_part(&self, isa: Isa, rows: Range<usize>, panels: Range<usize>, numbers: &mut [i32]) {
        if rows.is_empty() || panels.is_empty() {
            return;
        }
        self.assert_in_bounds();
        let columns = Columns::over(numbers);
        isa.run(Piece { product: self, rows, panels, columns, staged: Staged::new() });
    }

    fn panels(&self) -> Range<usize> {
        self.finish.columns.start / PANEL..self.finish.columns.end.div_ceil(PANEL)
    }

    /// Every read of activations must stay inside the slice: this is what makes tiles sound.
    fn assert_in_bounds(&self) {
        let outer = (self.m - 1) / self.rows.inner * self.rows.outer_stride;
        let inner = (self.m.min(self.rows.inner) - 1) * self.rows.inner_stride;
        assert!(outer + inner + self.runs.extent() <= self.rows.start.len());
        let quads = self.runs.offsets.len() * self.runs.quads;
        assert_eq!(quads * GROUP + self.runs.tail, self.weight.k);
    }
}

/// The rows and panels that one thread multiplies.
struct Piece<'p, 'a> {
    product: &'p Product<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    columns: Columns<'p>,
    staged: Staged,
}

impl Kernel for Piece<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let k = self.product.weight.k;
        let block = (ROW_BLOCK_BYTES / k.max(1)).max(1).next_multiple_of(LEAST_ROW_BLOCK);
        for start in self.rows.clone().step_by(block) {
            let rows = start..self.rows.end.min(start + block);
            let mut panel = self.panels.start;
            while panel < self.panels.end {
                panel += if S::LANES == 8 && self.product.weight.pair_rule {
                    self.rows_by_next_panels::<S, PairRule>(s, rows.clone(), panel)
                } else {
                    self.rows_by_next_panels::<S, Exact>(s, rows.clone(), panel)
                };
            }
        }
    }
}

impl Piece<'_, '_> {
    /// Multiplies the rows by as many panels as a tile takes from `panel` on, and returns how many
    /// those were.
    ///
    /// A tile is as large as leaves registers for the weights and an activation: 24 accumulators
    /// of 32 registers on AVX-512, 8 of 16 on AVX2, where widening takes six. Six rows by four
    /// panels reach 90 % of the peak on 1024 x 1024 x 1024, twelve by two 85 %.
    #[inline(always)]
    fn rows_by_next_panels<S: Simd, D: Dot>(
        &mut self,
        s: S,
        rows: Range<usize>,
        panel: usize,
    ) -> usize {
        let weight = self.product.weight;
        let narrow = usize::from(weight.width(self.panels.end - 1) < PANEL);
        let whole = self.panels.end - panel - narrow;
        let blocks = matches!(self.product.epilogue.scales, Scales::Blocks { .. });
        macro_rules! tiles {
            ($mr:literal, $ms:literal, $nv:literal, $masked:literal) => {
                if blocks {
                    self.rows_by_group::<S, D, $mr, $ms, $nv, $masked, true>(s, rows, panel)
                } else {
                    self.rows_by_group::<S, D, $mr, $ms, $nv, $masked, false>(s, rows, panel)
                }
            };
        }
        match (S::LANES, whole) {
            (16, 0) => tiles!(12, 6, 1, true),
            // Blocks keep a float accumulator beside each integer one.
            (16, 2..) if blocks => tiles!(6, 4, 2, false),
            (16, 4..) => tiles!(6, 4, 4, false),
            (16, 2..) => tiles!(12, 6, 2, false),
            (16, _) => tiles!(12, 6, 1, false),
            (8, 0) => tiles!(4, 3, 2, true),
            (8, _) => tiles!(4, 3, 2, false),
            (_, 0) => tiles!(4, 3, 4, true),
            (_, _) => tiles!(4, 3, 4, false),
        }
    }

    /// Multiplies the rows, `MR` or at the end `MS` at a time, by the panels whose columns fill `NV`
    /// vectors, and returns how many panels those are.
    #[inline(always)]
    fn rows_by_group<
        S: Simd,
        D: Dot,
        const MR: usize,
        const MS: usize,
        const NV: usize,
        const MASKED: bool,
        const BLOCKS: bool,
    >(
        &mut self,
        s: S,
        rows: Range<usize>,
        panel: usize,
    ) -> usize {
        const ONE: usize = 1;
        const TWO: usize = 2;
        let product = self.product;
        let width = if MASKED { product.weight.width(panel) } else { NV * S::LANES };
        self.columns.describe(&product.epilogue, product.weight.k, panel * PANEL, width);
        if !product.params.has_zero_point() {
            self.columns.sums.fill(0);
        }
        let tail = product.weight.expanded_tail(panel, width);
        let weights = TileWeights {
            start: product.weight.from(panel).as_ptr(),
            panel_stride: PANEL * product.weight.k,
            width,
            tail: &tail,
        };
        let block_quads = match product.epilogue.scales {
            Scales::Blocks { size, .. } => size / GROUP,
            _ => 0,
        };
        let stage = if BLOCKS { Stage::Floats } else { Stage::Sums };
        // The first tile, which reads the weights anyhow, also sums them where that is needed.
        let mut sums = product.params.has_zero_point();
        let mut walk = product.rows.walk(rows.start);
        let mut row = rows.start;
        while row < rows.end {
            let left = rows.end - row;
            macro_rules! tile {
                ($mr:ident, $sums:literal) => {{
                    let count = left.min($mr);
                    // Rows beyond the last one repeat it, and are not written.
                    let zero_point =
                        |r: usize| product.params.of(row + r.min(count - 1)).zero_point;
                    s.call(Tile::<D, $mr, NV, $sums, MASKED, BLOCKS> {
                        starts: walk.next::<$mr>(count),
                        end: product.rows.start.as_ptr_range().end,
                        runs: product.runs,
                        weights: &weights,
                        block_quads,
                        zero_points: std::array::from_fn(zero_point),
                        columns: &mut self.columns,
                        staged: &mut self.staged,
                        dot: std::marker::PhantomData,
                    });
                    count
                }};
            }
            let count = match (left, sums) {
                (1, false) => tile!(ONE, false),
                (1, true) => tile!(ONE, true),
                (2, false) => tile!(TWO, false),
                (2, true) => tile!(TWO, true),
                (left, false) if left <= MS => tile!(MS, false),
                (left, true) if left <= MS => tile!(MS, true),
                (_, false) => tile!(MR, false),
                (_, true) => tile!(MR, true),
            };
            s.call(FinishTile {
                staged: &mut self.staged,
                stage,
                columns: &self.columns,
                params: product.params,
                finish: &product.finish,
                place: Place { rows: row..row + count, first_column: panel * PANEL, width },
            });
            row += count;
            sums = false;
        }
        NV * S::LANES / PANEL
    }
}
