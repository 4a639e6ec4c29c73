//! The innermost loop: a tile of rows by vectors of columns, kept in registers along all of K.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and vector")]

use std::marker::PhantomData;
use std::ops::Range;

use super::columns::{COLUMNS, Columns};
use super::finish::{Place, write};
use super::gemm::Scales;
use super::panels::{GROUP, PANEL};
use super::product::Product;
use crate::isa::{Kernel, Simd};

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
    /// The last group of each panel, expanded, when `k` is not a multiple of 4.
    pub(super) tail: &'a [i8; COLUMNS * GROUP],
}

/// `MR` rows by `NV` vectors of columns. With `SUMS` it also sums the columns' weights; with
/// `MASKED` its one panel is narrower than the vectors.
pub(super) struct Tile<
    't,
    'a,
    D,
    const MR: usize,
    const NV: usize,
    const SUMS: bool,
    const MASKED: bool,
> {
    pub(super) product: &'t Product<'a>,
    pub(super) rows: Range<usize>,
    pub(super) first_column: usize,
    pub(super) width: usize,
    pub(super) weights: &'t TileWeights<'t>,
    pub(super) columns: &'t mut Columns<'a>,
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

impl<D: Dot, const MR: usize, const NV: usize, const SUMS: bool, const MASKED: bool> Kernel
    for Tile<'_, '_, D, MR, NV, SUMS, MASKED>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let starts = self.activation_starts();
        let y = match self.product.epilogue.scales {
            Scales::Blocks { size, .. } => self.sum_blocks(s, &starts, size / GROUP),
            _ => self.sum_all(s, &starts),
        };
        let tile = Place { rows: self.rows, first_column: self.first_column, width: self.width };
        write::<S, MR, NV, MASKED>(s, y, &self.product.finish, &self.columns.bias, &tile);
    }
}

impl<D: Dot, const MR: usize, const NV: usize, const SUMS: bool, const MASKED: bool>
    Tile<'_, '_, D, MR, NV, SUMS, MASKED>
{
    /// The row of the product that is row `r` of the tile. Rows beyond the last one repeat it:
    /// they are computed and written again, with the same values to the same place.
    #[inline(always)]
    fn row(&self, r: usize) -> usize {
        self.rows.start + r.min(self.rows.len() - 1)
    }

    #[inline(always)]
    fn activation_starts(&self) -> [*const u8; MR] {
        let rows = &self.product.rows;
        let (mut outer, mut inner) = (self.rows.start / rows.inner, self.rows.start % rows.inner);
        std::array::from_fn(|r| {
            if r > 0 && r < self.rows.len() {
                inner += 1;
                if inner == rows.inner {
                    (outer, inner) = (outer + 1, 0);
                }
            }
            rows.start[outer * rows.outer_stride + inner * rows.inner_stride..].as_ptr()
        })
    }

    /// `f32(sum - zero point * weight sum) * (row scale * column scale)`.
    #[inline(always)]
    fn sum_all<S: Simd>(&mut self, s: S, starts: &[*const u8; MR]) -> [[S::F32; NV]; MR] {
        let runs = self.product.runs;
        let mut sums = Sums::zero(s);
        let mut group = 0;
        for offset in runs.offsets {
            // SAFETY: `Product::run` checked that all runs lie inside the activations, and that
            // together with the tail they are as long as the rows of the weight.
            unsafe {
                let starts = starts.map(|start| start.add(*offset));
                self.add_run(s, &mut sums, &starts, group, runs.quads);
            }
            group += runs.quads;
        }
        self.add_tail(s, &mut sums, starts);
        if SUMS {
            for v in 0..NV {
                s.store_i32(sums.weights[v], &mut self.columns.sums[v * S::LANES..]);
            }
        }
        let params: [_; MR] = std::array::from_fn(|r| self.product.params.of(self.row(r)));
        let mut y = [[s.splat(0.0); NV]; MR];
        for v in 0..NV {
            let column_scale = s.load(&self.columns.scales[v * S::LANES..]);
            let weight_sum = s.load_i32(&self.columns.sums[v * S::LANES..]);
            for r in 0..MR {
                let scale = s.mul(s.splat(params[r].scale), column_scale);
                let zero_point = s.splat_i32(i32::from(params[r].zero_point));
                let centered = s.sub_i32(sums.dots[r][v], s.mul_i32(zero_point, weight_sum));
                y[r][v] = s.mul(s.i32_to_f32(centered), scale);
            }
        }
        y
    }

    /// `(sum over blocks of f32(sum - zero point * weight sum) * block scale) * row scale`.
    #[inline(always)]
    fn sum_blocks<S: Simd>(
        &mut self,
        s: S,
        starts: &[*const u8; MR],
        block_quads: usize,
    ) -> [[S::F32; NV]; MR] {
        let runs = self.product.runs;
        let params: [_; MR] = std::array::from_fn(|r| self.product.params.of(self.row(r)));
        let mut y = [[s.splat(0.0); NV]; MR];
        let mut group = 0;
        let blocks = self.columns.blocks();
        for block in 0..blocks {
            let quads = block_quads.min(runs.quads - group);
            let mut sums = Sums::zero(s);
            // SAFETY: as in `sum_all`; a product with blocks has a single run.
            unsafe {
                let starts = starts.map(|start| start.add(group * GROUP));
                self.add_run(s, &mut sums, &starts, group, quads);
            }
            group += quads;
            if block + 1 == blocks {
                self.add_tail(s, &mut sums, starts);
            }
            for v in 0..NV {
                let columns = block * COLUMNS + v * S::LANES;
                if SUMS {
                    s.store_i32(sums.weights[v], &mut self.columns.sums[columns..]);
                }
                let scale = s.load_f16(&self.columns.block_scales[columns..]);
                let weight_sum = s.load_i32(&self.columns.sums[columns..]);
                for r in 0..MR {
                    let zero_point = s.splat_i32(i32::from(params[r].zero_point));
                    let centered = s.sub_i32(sums.dots[r][v], s.mul_i32(zero_point, weight_sum));
                    y[r][v] = s.add(y[r][v], s.mul(s.i32_to_f32(centered), scale));
                }
            }
        }
        for r in 0..MR {
            for v in 0..NV {
                y[r][v] = s.mul(y[r][v], s.splat(params[r].scale));
            }
        }
        y
    }

    /// Adds `quads` groups of four along K, `group` being the first one's place in the weights.
    ///
    /// # Safety
    /// `4 * quads` activations are readable at each start, and the panels have the groups.
    #[inline(always)]
    unsafe fn add_run<S: Simd>(
        &self,
        s: S,
        sums: &mut Sums<S, MR, NV>,
        starts: &[*const u8; MR],
        group: usize,
        quads: usize,
    ) {
        let group_bytes = GROUP * if MASKED { self.width } else { PANEL };
        // SAFETY: the caller promises that the panels have the groups and the rows the values.
        unsafe {
            let weights = self.weights.start.add(group * group_bytes);
            for quad in 0..quads {
                let weights = weights.add(quad * group_bytes);
                self.add_group(s, sums, starts.map(|start| start.add(quad * GROUP)), |v| {
                    let column = v * S::LANES;
                    let panel = column / PANEL * self.weights.panel_stride;
                    if MASKED {
                        let lanes = self.width.saturating_sub(column).min(S::LANES);
                        let column = column.min(self.width);
                        s.load_bytes_partial(weights.add(column * GROUP), lanes)
                    } else {
                        s.load_bytes(weights.add(panel + column % PANEL * GROUP))
                    }
                });
            }
        }
    }

    /// Adds the last `k % 4` values along K.
    #[inline(always)]
    fn add_tail<S: Simd>(&self, s: S, sums: &mut Sums<S, MR, NV>, starts: &[*const u8; MR]) {
        let runs = self.product.runs;
        if runs.tail > 0 {
            let mut quads = [[0; GROUP]; MR];
            for (quad, start) in quads.iter_mut().zip(starts) {
                // SAFETY: `Product::run` checked that the tail lies inside the activations.
                unsafe {
                    let tail = start.add(runs.tail_offset);
                    std::ptr::copy_nonoverlapping(tail, quad.as_mut_ptr(), runs.tail);
                }
            }
            let weights = self.weights.tail;
            // SAFETY: the expanded tail holds four values for each of the tile's columns.
            unsafe {
                self.add_group(s, sums, quads.each_ref().map(|quad| quad.as_ptr()), |v| {
                    s.load_bytes(weights[v * S::LANES * GROUP..][..S::LANES * GROUP].as_ptr())
                });
            }
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
