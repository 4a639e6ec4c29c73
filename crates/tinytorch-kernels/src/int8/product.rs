//! The loops around a tile: which rows meet which panels, and on which thread.
//!
//! A matrix product and a convolution differ only in where the values of a row of activations
//! lie, so both are a [`Product`].

use half::f16;
use std::ops::Range;

use super::areas::{Area, Cut};
use super::columns::{COLUMNS, Columns};
use super::dot::{Dot, Exact, FewWords, PairRule, Widened, Words};
use super::finish::{Finish, FinishTile, Place, Staged};
use super::finish_whole::Whole;
use super::level_sums::SumRows;
use super::name::kernel_names;
use super::operands::{Epilogue, RowParams};
use super::panels::Packed;
use super::rows::{Levels, RowWalk, Rows};
use super::runs::Runs;
use super::tile::{Tile, TileWeights};
use super::widen::{Wide, WideSize, WidenLevels, WidenPanel};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, share, split};
use crate::scratch::bytes_for;
use crate::threads::{PRODUCT_INT8, QUANTIZE, product_int8_operations};
use crate::tuning::{GROUP, PANEL, Tuning, by_isa};
use crate::{Isa, Ran, Scratch};

/// Rows that a block has at least, and a multiple of: whole tiles, whatever their height.
const LEAST_ROW_BLOCK: usize = 48;

/// Rows from which a panel is widened, where that pays: two are multiplied as bytes while it would take.
const LEAST_WIDENED: usize = 3;

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
    /// Weights along K that are summed in integers before they become a float, if not all of them.
    fn block(&self) -> Option<usize> {
        self.params.block(&self.epilogue.scales, self.weight.k)
    }

    /// Whether activations have 16 bits.
    fn is_wide(&self) -> bool {
        self.params.level_bytes() > 1
    }

    /// Multiplies on the threads of the current pool, and says which kernel ran.
    pub(super) fn run(&self, isa: Isa, scratch: &mut Scratch) -> Ran {
        let panels = self.panels();
        let work = product_int8_operations(self.m * self.finish.columns.len(), self.weight.k);
        let threads = PRODUCT_INT8.shares(work).min(self.m.max(panels.len()).max(1));
        let len = Columns::numbers(self.block(), self.weight.k);
        let size = if self.is_wide() {
            WideSize::of_weights(&self.weight)
        } else {
            let rows = self.row_block(isa.tuning()).min(self.m);
            WideSize::of(isa, &self.weight, rows * self.weight.k)
        };
        let cut = Cut::new(self.m, panels, threads, size.levels > 0);
        let levels_step = bytes_for::<u8>(size.levels);
        let of_numbers = bytes_for::<i32>(threads * len) + bytes_for::<i32>(threads * size.weights);
        let summed = if self.weight.zero_points.is_empty() { 0 } else { self.m };
        let mut arena =
            scratch.arena(of_numbers + threads * levels_step + bytes_for::<i32>(summed));
        let level_sums = arena.take::<i32>(summed);
        self.sum_levels(isa, level_sums);
        let level_sums = &*level_sums;
        let numbers = SharedOut::new(arena.take::<i32>(threads * len));
        let all_levels = SharedOut::new(arena.take::<u8>(threads * levels_step));
        let all_weights = SharedOut::new(arena.take::<i32>(threads * size.weights));
        share(cut.areas(), threads, &|worker| {
            let index = worker.index();
            // SAFETY: each worker has its own part of the scratch.
            let (numbers, wide) = unsafe {
                let weights = all_weights.slice(index * size.weights, size.weights);
                let levels = all_levels.slice(index * levels_step, size.levels);
                (numbers.slice(index * len, len), Wide { weights, levels })
            };
            self.run_areas(isa, &mut worker.map(|i| cut.area(i)), numbers, wide, level_sums);
        });
        let (vector, blocks) = (self.m == 1, self.epilogue.scales.block().is_some());
        let names = match (vector, blocks, self.is_wide()) {
            (true, false, false) => kernel_names!("gemv_int8"),
            (false, false, false) => kernel_names!("gemm_int8"),
            (true, true, false) => kernel_names!("gemv_int8_blocks"),
            (false, true, false) => kernel_names!("gemm_int8_blocks"),
            (true, false, true) => kernel_names!("gemv_int8_by_int16"),
            (false, false, true) => kernel_names!("gemm_int8_by_int16"),
            (true, true, true) => kernel_names!("gemv_int8_blocks_by_int16"),
            (false, true, true) => kernel_names!("gemm_int8_blocks_by_int16"),
        };
        Ran::int8(names.of(isa, self.weight.pair_rule && !self.is_wide()))
    }

    /// Multiplies on this thread, with [`Columns::numbers`] numbers of scratch and what [`WideSize`]
    /// says for all activations. Where weights have zero points, `level_sums` are what the activations of each
    /// row add up to, less theirs.
    pub(super) fn run_here(
        &self,
        isa: Isa,
        numbers: &mut [i32],
        wide: Wide<'_>,
        level_sums: &[i32],
    ) {
        let all = Area { rows: 0..self.m, panels: self.panels() };
        self.run_areas(isa, &mut std::iter::once(all), numbers, wide, level_sums);
    }

    /// Adds up the activations of each row, which lie one behind the other.
    fn sum_levels(&self, isa: Isa, sums: &mut [i32]) {
        let (k, params) = (self.weight.k, self.params);
        let threads = QUANTIZE.shares(sums.len() * k);
        let levels = self.rows.start;
        let (rows, sums) = (sums.len(), SharedOut::new(sums));
        split(rows, threads, &|rows| {
            // SAFETY: ranges do not overlap.
            let sums = unsafe { sums.slice(rows.start, rows.len()) };
            isa.run(SumRows { levels, k, params, first: rows.start, sums });
        });
    }

    fn run_areas(
        &self,
        isa: Isa,
        areas: &mut dyn Iterator<Item = Area>,
        numbers: &mut [i32],
        wide: Wide<'_>,
        level_sums: &[i32],
    ) {
        if self.m > 0 {
            self.assert_in_bounds();
            let columns = Columns::over(numbers);
            if self.epilogue.scales.block().is_none() {
                columns.block_scales.fill(f16::ONE);
            }
            isa.run(Areas {
                areas,
                levels: wide.levels,
                piece: Piece {
                    product: self,
                    level_sums,
                    columns,
                    panel: wide.weights,
                    staged: Staged::new(),
                    tail: [0; COLUMNS * GROUP],
                    zero_point: self.params.has_zero_point(),
                },
            });
        }
    }

    fn panels(&self) -> Range<usize> {
        self.finish.columns.start / PANEL..self.finish.columns.end.div_ceil(PANEL)
    }

    /// Every read of activations must stay inside the slice: this is what makes tiles sound.
    fn assert_in_bounds(&self) {
        let outer = (self.m - 1) / self.rows.inner * self.rows.outer_stride;
        let inner = (self.m.min(self.rows.inner) - 1) * self.rows.inner_stride;
        let levels = self.rows.start.len() / self.params.level_bytes();
        assert!(outer + inner + self.runs.extent() <= levels);
        assert!(self.rows.ascend(self.m));
        let quads = self.runs.offsets.len() * self.runs.quads;
        assert_eq!(quads * GROUP + self.runs.tail, self.weight.k);
    }
}

impl Product<'_> {
    /// The activations of some rows as [`Dot::add`] takes them.
    #[inline(always)]
    fn levels<'w, S: Simd, D: Dot>(
        &'w self,
        s: S,
        rows: &Range<usize>,
        widened: &'w mut [u8],
    ) -> Levels<'w> {
        let level_bytes = D::LEVEL_BYTES;
        if level_bytes == self.params.level_bytes() {
            return Levels { bytes: self.rows.start, first: 0, level_bytes };
        }
        // Rows ascend, so that none of these starts after the last one.
        let first = self.rows.place(rows.start);
        let end = self.rows.place(rows.end - 1) + self.runs.extent();
        s.call(WidenLevels { from: &self.rows.start[first..end], to: widened });
        Levels { bytes: widened, first, level_bytes }
    }

    /// Rows whose activations stay in the second-level cache while all panels pass by.
    fn row_block(&self, tuning: &Tuning) -> usize {
        let row = self.weight.k * self.params.level_bytes();
        let rows = tuning.product_int8.row_block_bytes / row.max(1);
        rows.max(1).next_multiple_of(LEAST_ROW_BLOCK)
    }
}

/// What one thread multiplies.
struct Areas<'p, 'a> {
    areas: &'p mut dyn Iterator<Item = Area>,
    /// Where activations are widened.
    levels: &'p mut [u8],
    piece: Piece<'p, 'a>,
}

impl Kernel for Areas<'_, '_> {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for Area { rows, panels } in self.areas {
            if self.piece.product.is_wide() {
                if rows.len() >= LEAST_WIDENED {
                    self.piece.multiply::<S, Words>(s, rows, panels, self.levels);
                } else {
                    self.piece.multiply::<S, FewWords>(s, rows, panels, self.levels);
                }
            } else if const { S::LEVEL_BYTES > 1 } {
                if self.piece.product.weight.pair_rule {
                    self.piece.multiply::<S, PairRule>(s, rows, panels, self.levels);
                } else if rows.len() >= LEAST_WIDENED {
                    self.piece.multiply::<S, Widened>(s, rows, panels, self.levels);
                } else {
                    self.piece.multiply::<S, Exact>(s, rows, panels, self.levels);
                }
            } else {
                self.piece.multiply::<S, Exact>(s, rows, panels, self.levels);
            }
        }
    }
}

/// A product, and what a thread needs to compute a part of it.
struct Piece<'p, 'a> {
    product: &'p Product<'a>,
    /// See [`Product::run_here`].
    level_sums: &'p [i32],
    columns: Columns<'p>,
    /// Where a panel is widened.
    panel: &'p mut [i32],
    staged: Staged,
    /// What [`Packed::expand_tail`] writes.
    tail: [i8; COLUMNS * GROUP],
    /// Whether activations have a zero point, which the sums of the weights meet.
    zero_point: bool,
}

impl Piece<'_, '_> {
    #[inline(always)]
    fn multiply<S: Simd, D: Dot>(
        &mut self,
        s: S,
        rows: Range<usize>,
        panels: Range<usize>,
        widened: &mut [u8],
    ) {
        let block = self.product.row_block(Tuning::of::<S>());
        for start in rows.clone().step_by(block) {
            let rows = start..rows.end.min(start + block);
            let levels = self.product.levels::<S, D>(s, &rows, widened);
            let mut left = panels.clone();
            while !left.is_empty() {
                left.start += self.rows_by_next_panels::<S, D>(s, levels, rows.clone(), &left);
            }
        }
    }

    /// Multiplies the rows by as many of `panels` as a tile takes, and returns how many those were.
    #[inline(always)]
    fn rows_by_next_panels<S: Simd, D: Dot>(
        &mut self,
        s: S,
        levels: Levels<'_>,
        rows: Range<usize>,
        panels: &Range<usize>,
    ) -> usize {
        let weight = self.product.weight;
        let panel = panels.start;
        let narrow = usize::from(weight.width(panels.end - 1) < PANEL);
        let whole = panels.len() - narrow;
        let blocks = self.product.block().is_some();
        macro_rules! tiles {
            ($tile:expr, $masked:literal, $blocks:literal) => {{
                const MR: usize = $tile.rows;
                const MS: usize = $tile.few_rows;
                const NV: usize = $tile.vectors;
                const AT: usize = $tile.together;
                self.rows_by_group::<S, D, MR, MS, NV, AT, $masked, $blocks>(s, levels, rows, panel)
            }};
            ($tiles:expr, $blocks:literal) => {
                if whole >= $tiles[0].panels(S::LANES) {
                    tiles!($tiles[0], false, $blocks)
                } else if whole >= $tiles[1].panels(S::LANES) {
                    tiles!($tiles[1], false, $blocks)
                } else {
                    tiles!($tiles[2], false, $blocks)
                }
            };
        }
        // Constant conditions, here and below, keep tiles that never run from being compiled.
        if const { D::WEIGHT_BYTES > 1 } {
            // One panel is widened at a time, and filled up.
            return by_isa!(S, T => match blocks {
                true => tiles!(T.product_int8.blocks[2], false, true),
                false => tiles!(T.product_int8.whole[2], false, false),
            });
        }
        by_isa!(S, T => match (whole, blocks) {
            (0, true) => tiles!(T.product_int8.narrow, true, true),
            (0, false) => tiles!(T.product_int8.narrow, true, false),
            (_, true) => tiles!(T.product_int8.blocks, true),
            (_, false) => tiles!(T.product_int8.whole, false),
        })
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
        const AT: usize,
        const MASKED: bool,
        const BLOCKS: bool,
    >(
        &mut self,
        s: S,
        levels: Levels<'_>,
        rows: Range<usize>,
        panel: usize,
    ) -> usize {
        const ZERO: usize = 0;
        const ONE: usize = 1;
        const TWO: usize = 2;
        let product = self.product;
        let is_widened = D::WEIGHT_BYTES > 1;
        assert!(!is_widened || NV * S::LANES == PANEL, "one panel is widened at a time");
        let width = match MASKED || is_widened {
            true => product.weight.width(panel),
            false => NV * S::LANES,
        };
        let Packed { k, zero_points, .. } = product.weight;
        self.columns.describe(&product.epilogue, k, zero_points, panel * PANEL, width);
        let block_quads = product.block().map_or(0, |size| size / GROUP);
        product.weight.expand_tail(panel, width, &mut self.tail);
        let needed = self.zero_point;
        let kept = !BLOCKS && !product.weight.sums.is_empty();
        if is_widened {
            s.call(WidenPanel {
                weight: product.weight,
                panel,
                tail: &self.tail,
                block_groups: if BLOCKS { block_quads } else { usize::MAX },
                sums: &mut *self.columns.sums,
                to: &mut *self.panel,
            });
        } else if !needed {
            self.columns.sums.fill(0);
        } else if kept {
            let sums = &product.weight.sums[panel * PANEL..][..width];
            self.columns.sums[..width].copy_from_slice(sums);
        }
        let start = match is_widened {
            true => self.panel.as_ptr().cast(),
            false => product.weight.from(panel).as_ptr(),
        };
        let panel_stride = PANEL * product.weight.k;
        let weights = TileWeights { start, panel_stride, width, tail: &self.tail };
        // Only what was widened here has something behind it to be read.
        let runs = if is_widened && !D::IS_CENTERED {
            product.runs.with_whole_groups()
        } else {
            product.runs
        };
        // A single row, which reads the weights once, also sums them; more rows have no registers for that.
        let mut sums = needed && !kept && !is_widened;
        let finish = &product.finish;
        let (first_column, wanted) = (panel * PANEL, &finish.columns);
        let inside = wanted.start <= first_column && first_column + width <= wanted.end;
        let level_sums = self.level_sums;
        let straight = (width == NV * S::LANES && inside && finish.column_stride == 1).then_some(
            #[inline(always)]
            |row: usize| Whole {
                params: product.params,
                level_sums,
                row,
                target: finish.target,
                start: row * finish.row_stride + first_column - wanted.start,
                row_stride: finish.row_stride,
                relu: finish.relu,
            },
        );
        let mut walk = RowWalk::new(levels, product.rows, rows.start);
        let mut row = rows.start;
        while row < rows.end {
            let left = rows.end - row;
            macro_rules! tile {
                ($mr:ident, $at:ident, $sums:literal) => {{
                    let count = left.min($mr);
                    // Rows beyond the last one repeat it, and are not written.
                    let zero_point = |r: usize| match BLOCKS {
                        true => product.params.of(row + r.min(count - 1)).zero_point,
                        false => 0,
                    };
                    s.call(Tile::<D, $mr, NV, $at, $sums, MASKED, BLOCKS> {
                        starts: walk.next::<$mr>(count),
                        end: levels.bytes.as_ptr_range().end,
                        runs,
                        weights: &weights,
                        block_quads,
                        zero_points: std::array::from_fn(zero_point),
                        columns: &mut self.columns,
                        whole: match &straight {
                            // A tile with rows beyond the last one is not written whole.
                            Some(place) if count == $mr => Some(place(row)),
                            _ => None,
                        },
                        staged: &mut self.staged,
                        dot: std::marker::PhantomData,
                    });
                    (count, straight.is_some() && count == $mr)
                }};
            }
            let (count, is_written) = if const { D::WEIGHT_BYTES == 1 && !D::IS_CENTERED } && sums {
                if left > 1 {
                    tile!(ZERO, NV, true);
                    sums = false;
                    continue;
                }
                tile!(ONE, NV, true)
            } else if left == 1 {
                tile!(ONE, NV, false)
            } else if const { S::LEVEL_BYTES > D::FEW_ROWS_ABOVE } || left == 2 {
                tile!(TWO, NV, false)
            } else if left <= MS {
                tile!(MS, AT, false)
            } else {
                tile!(MR, AT, false)
            };
            if !is_written {
                s.call(FinishTile::<BLOCKS> {
                    staged: &mut self.staged,
                    columns: &self.columns,
                    params: product.params,
                    level_sums,
                    finish: &product.finish,
                    place: Place { rows: row..row + count, first_column, width },
                });
            }
            row += count;
            sums = false;
        }
        NV * S::LANES / PANEL
    }
}
