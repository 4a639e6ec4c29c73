//! One rectangle of C on one thread: the innermost loop inside blocks that fit the caches.

use super::pack::{pack_panels, packed_len};
use super::product::{Left, Product, Right};
use super::tile::{self, Panels, Rows, Start, Sums, next_rows};
use super::unfold;
use crate::Isa;
use crate::f32::Bounds;
use crate::isa::{Kernel, Simd};
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::tuning::{A_PANEL, B_PANEL, MOST_COLUMNS_F32 as MAX_COLS, ProductF32, Tuning, by_isa};
use std::ops::Range;

/// Rows and columns of B in a block, for so many rows of A.
fn block_size(sizes: &ProductF32, rows: usize) -> (usize, usize) {
    if rows <= A_PANEL {
        (sizes.few_rows_k_block, MAX_COLS)
    } else {
        (sizes.k_block, sizes.n_block)
    }
}

/// A rectangle of C to compute.
pub(super) struct Rectangle<'a> {
    pub(super) product: &'a Product<'a>,
    pub(super) rows: Range<usize>,
    pub(super) cols: Range<usize>,
}

impl Rectangle<'_> {
    /// Whether A is used too seldom to be worth packing: 128 x 128 x 32 gains a tenth. A tile reads
    /// whole rows, so all of its rows must exist.
    fn reads_a_directly(&self, sizes: &ProductF32) -> bool {
        self.cols.len() <= sizes.direct_cols
            && self.rows.len().is_multiple_of(A_PANEL)
            && self.product.scaling.alpha == 1.0
    }

    /// Whether B is used too seldom, or is too small, to be worth packing: 32 x 32 x 32 gains a quarter.
    /// A tile reads whole vectors, so all of their columns must exist.
    fn reads_b_directly(&self, sizes: &ProductF32) -> bool {
        let Right::Matrix(b) = self.product.b else { return false };
        let few = self.rows.len() <= sizes.direct_rows;
        b.col_stride() == 1
            && self.cols.len().is_multiple_of(B_PANEL)
            && (few || b.rows() * self.cols.len() <= sizes.direct_values)
    }

    /// Computes the rectangle on this thread.
    ///
    /// # Safety
    /// It lies inside of C, and nobody else uses it meanwhile.
    pub(super) unsafe fn compute(self, isa: Isa) {
        let sizes = &isa.tuning().product_f32;
        let (k_block, n_block) = block_size(sizes, self.rows.len());
        let depth = self.product.a.cols().min(k_block);
        let width = self.cols.len().min(n_block);
        let a_len = match self.product.a {
            Left::Matrix(_) if !self.reads_a_directly(sizes) => {
                packed_len::<A_PANEL>(self.rows.len().min(sizes.m_block), depth)
            }
            Left::Matrix(_) | Left::Packed(_) => 0,
        };
        let (b_len, image_len) = match self.product.b {
            Right::Matrix(_) if !self.reads_b_directly(sizes) => {
                (packed_len::<B_PANEL>(width, depth), 0)
            }
            Right::Matrix(_) | Right::Packed(_) => (0, 0),
            Right::Unfolded(b) => {
                (packed_len::<B_PANEL>(width, depth) + unfold::SLACK, b.staging_len(depth, width))
            }
        };
        with_thread_scratch(|scratch| {
            let lens = [a_len, b_len, image_len, A_PANEL * MAX_COLS];
            let mut arena = scratch.arena(lens.into_iter().map(bytes_for::<f32>).sum());
            let [a_block, b_block, image, tile_copy] = lens.map(|len| arena.take(len));
            isa.run(Blocks { rectangle: self, a_block, b_block, image, tile_copy });
        });
    }
}

struct Blocks<'a> {
    rectangle: Rectangle<'a>,
    a_block: &'a mut [f32],
    b_block: &'a mut [f32],
    image: &'a mut [f32],
    tile_copy: &'a mut [f32],
}

impl Kernel for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        by_isa!(S, T => self.multiply::<
            S, { T.product_f32.tile.rows }, { T.product_f32.tile.vectors },
        >(s))
    }
}

impl Blocks<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const R: usize, const V: usize>(mut self, s: S) {
        let product = self.rectangle.product;
        let (rows, cols) = (self.rectangle.rows.clone(), self.rectangle.cols.clone());
        let k = product.a.cols();
        let sizes = &Tuning::of::<S>().product_f32;
        let (k_block, n_block) = block_size(sizes, rows.len());
        for j in cols.clone().step_by(n_block) {
            let j_range = j..cols.end.min(j + n_block);
            let mut p = 0;
            loop {
                let p_range = p..k.min(p + k_block);
                let b = self.columns(s, j_range.clone(), p_range.clone());
                for i in rows.clone().step_by(sizes.m_block) {
                    let i_range = i..rows.end.min(i + sizes.m_block);
                    let a = self.rows(s, i_range.clone(), p_range.clone());
                    let mut block = Block {
                        product,
                        a,
                        b,
                        tile_copy: self.tile_copy,
                        rows: i_range,
                        cols: j_range.clone(),
                        depth: p_range.len(),
                        is_first: p == 0,
                        is_last: p_range.end == k,
                    };
                    block.multiply::<S, R, V>(s);
                }
                p = p_range.end;
                // A product with k = 0 has one empty block, which starts and finishes its sums.
                if p == k {
                    break;
                }
            }
        }
    }
}

impl Blocks<'_> {
    /// Rows `i` of A, elements `p`, ready for the innermost loop.
    #[inline(always)]
    fn rows<S: Simd>(&mut self, s: S, i: Range<usize>, p: Range<usize>) -> Rows {
        let product = self.rectangle.product;
        match product.a {
            Left::Matrix(a) if self.rectangle.reads_a_directly(&Tuning::of::<S>().product_f32) => {
                let start = a.data_from(i.start, p.start).as_ptr();
                Rows::Direct { start, row_stride: a.row_stride(), step: a.col_stride() }
            }
            Left::Matrix(a) => {
                let depth = p.len();
                let out = &mut self.a_block[..packed_len::<A_PANEL>(i.len(), depth)];
                pack_panels::<S, A_PANEL>(s, a, i, p, out);
                product.scale(out);
                Rows::Packed(Panels::packed(out.as_ptr(), depth))
            }
            Left::Packed(a) => Rows::Packed(a.panels(i.start, p.start)),
        }
    }

    /// Columns `j` of B, elements `p`, packed.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, s: S, j: Range<usize>, p: Range<usize>) -> Panels<B_PANEL> {
        let (out, depth) = (&mut *self.b_block, p.len());
        match self.rectangle.product.b {
            Right::Matrix(b) if self.rectangle.reads_b_directly(&Tuning::of::<S>().product_f32) => {
                let start = b.data_from(p.start, j.start).as_ptr();
                return Panels { start, stride: B_PANEL, step: b.row_stride() };
            }
            Right::Matrix(b) => pack_panels::<S, B_PANEL>(s, b.t(), j, p, out),
            Right::Packed(b) => return b.panels(j.start, p.start),
            Right::Unfolded(b) => b.pack(s, j, p, self.image, out),
        }
        Panels::packed(out.as_ptr(), depth)
    }
}

/// A block of C, and the packed blocks of A and B whose product is added to it.
struct Block<'a> {
    product: &'a Product<'a>,
    a: Rows,
    b: Panels<B_PANEL>,
    tile_copy: &'a mut [f32],
    rows: Range<usize>,
    cols: Range<usize>,
    depth: usize,
    is_first: bool,
    is_last: bool,
}

impl Block<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const R: usize, const V: usize>(&mut self, s: S) {
        let is_packed = matches!(self.product.b, Right::Packed(_));
        // A strip of B is used for all rows before the next one.
        let mut j = self.cols.start;
        while j < self.cols.end {
            let vectors = match (self.cols.end - j).div_ceil(S::LANES) {
                // Two tiles of two vectors are faster than one of three and one of one.
                4 if V == 3 => 2,
                left => left.min(V),
            };
            let cols = j..self.cols.end.min(j + vectors * S::LANES);
            j = cols.end;
            let mut i = self.rows.start;
            // Packed weights come from memory: while a strip is multiplied, its first tiles ask for the panels of the next.
            let mut next = j;
            while i < self.rows.end {
                let rows = i..i + next_rows::<R>(self.rows.end - i);
                i = rows.end;
                let later = if is_packed && next < self.cols.end.min(j + V * S::LANES) {
                    self.b.line(next - self.cols.start)
                } else {
                    std::ptr::null()
                };
                next += B_PANEL;
                match vectors {
                    1 => self.tile::<S, R, 1>(s, rows, cols.clone(), later),
                    2 => self.tile::<S, R, 2>(s, rows, cols.clone(), later),
                    3 => self.tile::<S, R, 3>(s, rows, cols.clone(), later),
                    _ => self.tile::<S, R, V>(s, rows, cols.clone(), later),
                }
            }
        }
    }

    /// Part of the block, at most `R` rows and `V` vectors.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        s: S,
        rows: Range<usize>,
        cols: Range<usize>,
        later: *const f32,
    ) {
        let product = self.product;
        let computed_rows = match rows.len() {
            3 if R > 4 => 4,
            few @ (1 | 2 | 4) => few,
            _ => R,
        };
        let is_whole = cols.len() == V * S::LANES && rows.len() == computed_rows;
        let from = if !self.is_first {
            Start::Tile
        } else if let Some(start) = product.start_of(rows.start, cols.start, is_whole) {
            start
        } else {
            for i in rows.clone() {
                // SAFETY: the tile belongs to this thread's rectangle.
                product.start(i, cols.start, unsafe { product.row_of_c(i, cols.clone()) });
            }
            Start::Tile
        };
        let c = if is_whole {
            // SAFETY: the tile belongs to this thread's rectangle.
            let start = unsafe { product.row_of_c(rows.start, cols.clone()) }.as_mut_ptr();
            let bounds = if self.is_last { product.scaling.bounds } else { Bounds::NONE };
            Sums {
                start,
                stride: product.c_stride,
                next: computed_rows * product.c_stride,
                from,
                bounds,
            }
        } else {
            // A tile that sticks out of the rectangle is computed on a copy.
            if let Start::Tile = from {
                self.copy_tile(&rows, &cols, |copy, c| copy.copy_from_slice(c));
            }
            let start = self.tile_copy.as_mut_ptr();
            Sums { start, stride: MAX_COLS, next: 0, from, bounds: Bounds::NONE }
        };
        let a = (self.a, rows.start - self.rows.start);
        let b = (self.b, cols.start - self.cols.start);
        // SAFETY: the panels hold the block's rows and columns and are filled up to whole panels, and what
        // is read where it lies has whole panels only; C's tile is whole, or a copy with room for the
        // largest tile; a whole tile has a bias for each of its rows or columns.
        unsafe {
            match computed_rows {
                1 => tile::multiply::<S, 1, V>(s, self.depth, a, b, later, c),
                2 => tile::multiply::<S, 2, V>(s, self.depth, a, b, later, c),
                4 if R > 4 => tile::multiply::<S, 4, V>(s, self.depth, a, b, later, c),
                _ => tile::multiply::<S, R, V>(s, self.depth, a, b, later, c),
            }
        }
        if !is_whole {
            let is_last = self.is_last;
            self.copy_tile(&rows, &cols, |copy, c| {
                c.copy_from_slice(copy);
                if is_last {
                    product.finish(c);
                }
            });
        }
    }

    /// Calls `copy` with each row of the tile's copy and of the tile.
    #[inline(always)]
    fn copy_tile(
        &mut self,
        rows: &Range<usize>,
        cols: &Range<usize>,
        copy: impl Fn(&mut [f32], &mut [f32]),
    ) {
        for (i, line) in rows.clone().zip(self.tile_copy.chunks_exact_mut(MAX_COLS)) {
            // SAFETY: the tile belongs to this thread's rectangle.
            let c = unsafe { self.product.row_of_c(i, cols.clone()) };
            copy(&mut line[..cols.len()], c);
        }
    }
}
