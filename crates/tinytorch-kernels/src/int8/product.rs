//! The loops around a tile: which rows meet which panels, and on which thread.
//!
//! A matrix product and a convolution differ only in where the values of a row of activations
//! lie, so both are a [`Product`].

use std::ops::Range;

use super::Panels;
use super::finish::Finish;
use super::gemm::{Epilogue, RowParams, Scales};
use super::name::kernel_names;
use super::panels::{GROUP, PANEL};
use super::tile::{Dot, Exact, PairRule, Tile, TileWeights};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, pieces, split};
use crate::scratch::bytes_for;
use crate::{Isa, Scratch};

/// Columns of the widest tile: four vectors of AVX-512.
pub(super) const COLUMNS: usize = 64;

/// Rows at most that the kernel for few rows takes, which streams four panels at a time.
const FEW_ROWS: usize = 4;

/// Multiply-adds per thread below which a product stays on one thread.
const LEAST_PER_THREAD: usize = 1 << 20;

/// Bytes of activations that stay in the second-level cache while all panels pass by: half of the
/// smallest such cache among server CPUs, 1 MB.
const ROW_BLOCK_BYTES: usize = 512 << 10;

/// Where the rows of the activations start: row `i` at
/// `i / inner * outer_stride + i % inner * inner_stride`.
#[derive(Copy, Clone)]
pub(super) struct Rows<'a> {
    pub(super) start: &'a [u8],
    pub(super) inner: usize,
    pub(super) outer_stride: usize,
    pub(super) inner_stride: usize,
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
    pub(super) weight: &'a Panels,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) finish: Finish,
}

impl Product<'_> {
    /// Multiplies on the threads of the current pool, and returns the name of the kernel that ran.
    pub(super) fn run(&self, isa: Isa, scratch: &mut Scratch) -> &'static str {
        let panels = self.panels();
        let work = self.m * self.finish.columns.len() * self.weight.k().max(1);
        let pieces = pieces(work, LEAST_PER_THREAD).min(self.m.max(panels.len()).max(1));
        // Cutting the columns lets each thread read its own part of the weights.
        let by_panels = panels.len() >= pieces * 4 || panels.len() >= self.m;
        let len = Columns::numbers(&self.epilogue, self.weight.k());
        let mut arena = scratch.arena(bytes_for::<f32>(pieces * len));
        let numbers = SharedOut::new(arena.take::<f32>(pieces * len));
        split(pieces, pieces, &|range| {
            for piece in range {
                let part = |all: Range<usize>| {
                    let cut = |i: usize| all.start + all.len() * i / pieces;
                    cut(piece)..cut(piece + 1)
                };
                // SAFETY: each piece has its own part of the scratch.
                let numbers = unsafe { numbers.slice(piece * len, len) };
                if by_panels {
                    self.run_part(isa, 0..self.m, part(panels.clone()), numbers);
                } else {
                    self.run_part(isa, part(0..self.m), panels.clone(), numbers);
                }
            }
        });
        let few = self.m <= FEW_ROWS;
        let blocks = matches!(self.epilogue.scales, Scales::Blocks { .. });
        let names = match (few, blocks) {
            (true, false) => kernel_names!("gemv_int8"),
            (false, false) => kernel_names!("gemm_int8"),
            (true, true) => kernel_names!("gemv_int8_blocks"),
            (false, true) => kernel_names!("gemm_int8_blocks"),
        };
        names.of(isa, self.weight.pair_rule_holds())
    }

    /// Multiplies on this thread, with [`Columns::numbers`] numbers of scratch.
    pub(super) fn run_here(&self, isa: Isa, numbers: &mut [f32]) {
        self.run_part(isa, 0..self.m, self.panels(), numbers);
    }

    fn run_part(&self, isa: Isa, rows: Range<usize>, panels: Range<usize>, numbers: &mut [f32]) {
        if rows.is_empty() || panels.is_empty() {
            return;
        }
        self.assert_in_bounds();
        let columns = Columns::over(numbers);
        isa.run(Piece { product: self, rows, panels, columns });
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
        assert_eq!(quads * GROUP + self.runs.tail, self.weight.k());
    }
}

fn as_i32(numbers: &mut [f32]) -> &mut [i32] {
    // SAFETY: f32 and i32 have the same size and alignment, and all their bit patterns are values.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) }
}

/// What the epilogue reads for the columns of a group of panels.
pub(super) struct Columns<'a> {
    /// For each block along K, the scale of each column.
    pub(super) scales: &'a mut [f32],
    /// For each block along K, the sum of each column's weights; 0 where no zero point needs it.
    pub(super) sums: &'a mut [i32],
    pub(super) bias: [f32; COLUMNS],
}

/// The rows and panels that one thread multiplies.
struct Piece<'p, 'a> {
    product: &'p Product<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    columns: Columns<'p>,
}

impl Kernel for Piece<'_, '_> {
    type Output = ();

    // A tile is MR rows by NV vectors of columns: as many accumulators as leave registers for the
    // weights and an activation, 24 + 3 of 32 on AVX-512 and 8 + 6 of 16 on AVX2.
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let few = self.product.m <= FEW_ROWS;
        match S::LANES {
            16 if few => self.rows_by_panels::<S, Exact, FEW_ROWS, 1, 4, 1>(s),
            16 => self.rows_by_panels::<S, Exact, 12, 6, 2, 1>(s),
            8 if self.product.weight.pair_rule_holds() => {
                self.rows_by_panels::<S, PairRule, 4, 1, 2, 2>(s)
            }
            8 => self.rows_by_panels::<S, Exact, 4, 1, 2, 2>(s),
            _ => self.rows_by_panels::<S, Exact, 4, 1, 4, 4>(s),
        }
    }
}

impl Piece<'_, '_> {
    /// Multiplies block by block of rows, and within it group by group of panels. `NV` vectors
    /// hold the columns of a group, `N1` those of one panel.
    #[inline(always)]
    fn rows_by_panels<
        S: Simd,
        D: Dot,
        const MR: usize,
        const MS: usize,
        const NV: usize,
        const N1: usize,
    >(
        &mut self,
        s: S,
    ) {
        let weight = self.product.weight;
        let per_group = NV * S::LANES / PANEL;
        let block = (ROW_BLOCK_BYTES / weight.k().max(1)).max(4 * MR).next_multiple_of(MR);
        for start in self.rows.clone().step_by(block) {
            let rows = start..self.rows.end.min(start + block);
            let mut panel = self.panels.start;
            while panel < self.panels.end {
                let group = panel + per_group;
                if group <= self.panels.end && weight.width(group - 1) == PANEL {
                    self.rows_by_group::<S, D, MR, MS, NV, false>(s, rows.clone(), panel);
                    panel = group;
                } else if weight.width(panel) == PANEL {
                    self.rows_by_group::<S, D, MR, MS, N1, false>(s, rows.clone(), panel);
                    panel += 1;
                } else {
                    self.rows_by_group::<S, D, MR, MS, N1, true>(s, rows.clone(), panel);
                    panel += 1;
                }
            }
        }
    }

    /// Multiplies the rows, `MR` at a time, by the panels of a group.
    #[inline(always)]
    fn rows_by_group<
        S: Simd,
        D: Dot,
        const MR: usize,
        const MS: usize,
        const NV: usize,
        const MASKED: bool,
    >(
        &mut self,
        s: S,
        rows: Range<usize>,
        panel: usize,
    ) {
        let product = self.product;
        let width = if MASKED { product.weight.width(panel) } else { NV * S::LANES };
        self.columns.describe(&product.epilogue, product.weight.k(), panel * PANEL, width);
        if !product.params.has_zero_point() {
            self.columns.sums.fill(0);
        }
        let tail = expand_tail(product.weight, panel, width);
        let weights = TileWeights {
            start: product.weight.panels_from(panel).as_ptr(),
            panel_stride: PANEL * product.weight.k(),
            tail: &tail,
        };
        // The first tile, which reads the weights anyhow, also sums them where that is needed.
        let mut sums = product.params.has_zero_point();
        let mut row = rows.start;
        while row < rows.end {
            let left = rows.end - row;
            macro_rules! tile {
                ($mr:ident, $sums:literal) => {{
                    s.call(Tile::<D, $mr, NV, $sums, MASKED> {
                        product,
                        rows: row..row + left.min($mr),
                        first_column: panel * PANEL,
                        width,
                        weights: &weights,
                        columns: &mut self.columns,
                        dot: std::marker::PhantomData,
                    });
                    $mr
                }};
            }
            const ONE: usize = 1;
            row += match (left, sums) {
                (1, false) => tile!(ONE, false),
                (1, true) => tile!(ONE, true),
                (left, false) if left <= MS => tile!(MS, false),
                (left, true) if left <= MS => tile!(MS, true),
                (_, false) => tile!(MR, false),
                (_, true) => tile!(MR, true),
            };
            sums = false;
        }
    }
}

impl<'a> Columns<'a> {
    /// Numbers that the columns of a group of panels take, a scale and a sum for each block.
    pub(super) fn numbers(epilogue: &Epilogue<'_>, k: usize) -> usize {
        let blocks = match epilogue.scales {
            Scales::Blocks { size, .. } => k.div_ceil(size).max(1),
            _ => 1,
        };
        2 * blocks * COLUMNS
    }

    /// Columns described in `numbers`, half of them for scales and half for sums.
    pub(super) fn over(numbers: &'a mut [f32]) -> Columns<'a> {
        let (scales, sums) = numbers.split_at_mut(numbers.len() / 2);
        Columns { scales, sums: as_i32(sums), bias: [0.0; COLUMNS] }
    }

    /// Gathers scales and bias of `width` columns from `first` on.
    pub(super) fn describe(
        &mut self,
        epilogue: &Epilogue<'_>,
        k: usize,
        first: usize,
        width: usize,
    ) {
        match epilogue.scales {
            Scales::PerTensor(scale) => self.scales[..COLUMNS].fill(scale),
            Scales::PerChannel(scales) => {
                self.scales[..width].copy_from_slice(&scales[first..first + width]);
            }
            Scales::Blocks { size, scales } => {
                let blocks = k.div_ceil(size);
                for column in 0..width {
                    let row = &scales[(first + column) * blocks..][..blocks];
                    for (block, scale) in row.iter().enumerate() {
                        self.scales[block * COLUMNS + column] = scale.to_f32();
                    }
                }
            }
        }
        if let Some(bias) = epilogue.bias {
            self.bias[..width].copy_from_slice(&bias[first..first + width]);
        }
    }
}

/// The last `k % 4` values of `width` columns as full groups of four, filled up with zeros.
pub(super) fn expand_tail(weight: &Panels, panel: usize, width: usize) -> [i8; COLUMNS * GROUP] {
    let mut groups = [0; COLUMNS * GROUP];
    let tail = weight.k() % GROUP;
    if tail > 0 {
        for column in 0..width {
            let within = width.min(PANEL);
            let start = column / PANEL * PANEL * weight.k()
                + (weight.k() - tail) * within
                + column % PANEL * tail;
            let from = &weight.panels_from(panel)[start..start + tail];
            groups[column * GROUP..column * GROUP + tail].copy_from_slice(from);
        }
    }
    groups
}
