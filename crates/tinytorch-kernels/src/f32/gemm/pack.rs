//! Packing: copies of blocks in the order in which the innermost loop reads them.

use super::matrix::Matrix;
use super::square::{HALF, SIDE};
use super::tile::Panels;
use crate::Isa;
use crate::aligned::AlignedVec;
use crate::isa::{Kernel, Simd};
use crate::tuning::{A_PANEL, B_PANEL};
use std::ops::Range;

/// Defines a packed factor.
macro_rules! packed {
    ($(#[$doc:meta])* $name:ident, $width:expr, $depth:ident, $as_lines:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            panels: AlignedVec<f32>,
            rows: usize,
            cols: usize,
        }

        impl $name {
            /// Packs the matrix, which costs about as much as a product with one row or column.
            pub fn new(isa: Isa, matrix: Matrix<'_>) -> Self {
                let (rows, cols) = (matrix.rows(), matrix.cols());
                let as_lines: fn(Matrix<'_>) -> Matrix<'_> = $as_lines;
                let m = as_lines(matrix);
                let mut panels = AlignedVec::zeroed(packed_len::<$width>(m.rows(), m.cols()));
                isa.run(PackAll::<$width> { m, panels: &mut panels });
                Self { panels, rows, cols }
            }

            /// The number of rows.
            pub fn rows(&self) -> usize {
                self.rows
            }

            /// The number of columns.
            pub fn cols(&self) -> usize {
                self.cols
            }

            /// Bytes on the heap.
            pub fn bytes(&self) -> usize {
                size_of_val(&self.panels[..])
            }

            /// The panels from line `line` on, which is the first of one, from element `p` on.
            #[inline(always)]
            pub(in crate::f32) fn panels(&self, line: usize, p: usize) -> Panels<$width> {
                let start = self.panels[line * self.$depth + p * $width..].as_ptr();
                Panels::packed(start, self.$depth)
            }
        }
    };
}
packed! {
    /// A left-hand matrix packed once, for products with many right-hand ones: the weights of a
    /// convolution.
    ///
    /// It is the same on every ISA: panels of 8 rows, the last one filled up, and in a
    /// panel column after column.
    PackedA, A_PANEL, cols, |m| m
}
packed! {
    /// A right-hand matrix packed once, for products with many left-hand ones: the weights of a
    /// linear layer.
    ///
    /// It is the same on every ISA: panels of 16 columns, the last one filled up, and in
    /// a panel row after row.
    PackedB, B_PANEL, rows, |m| m.t()
}

impl PackedA {
    /// All panels.
    pub(in crate::f32) fn values(&self) -> &[f32] {
        &self.panels
    }
}

struct PackAll<'a, const W: usize> {
    m: Matrix<'a>,
    panels: &'a mut [f32],
}

impl<const W: usize> Kernel for PackAll<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        pack_panels::<S, W>(s, self.m, 0..self.m.rows(), 0..self.m.cols(), self.panels);
    }
}

/// [`pack_panels`] as a function of its own, whose loops have the registers to themselves.
struct PackPanels<'a, const W: usize> {
    m: Matrix<'a>,
    lines: Range<usize>,
    span: Range<usize>,
    out: &'a mut [f32],
}

/// Values in the panels of `lines` lines of `depth` elements.
pub(super) fn packed_len<const W: usize>(lines: usize, depth: usize) -> usize {
    // The lines lie in memory, or are few: filling up a panel adds less than W of them.
    lines.next_multiple_of(W).checked_mul(depth).expect("a packed block fits the address space")
}

/// Packs elements `span` of the lines `lines` (rows of `m`) into panels of `W` lines: a panel holds,
/// element after element, that of each of its lines. What lines beyond the last hold does not matter: no result uses it.
#[inline(always)]
pub(super) fn pack_panels<S: Simd, const W: usize>(
    s: S,
    m: Matrix<'_>,
    lines: Range<usize>,
    span: Range<usize>,
    out: &mut [f32],
) {
    s.call(PackPanels::<W> { m, lines, span, out });
}

impl<const W: usize> Kernel for PackPanels<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { m, lines, span, out } = self;
        let source = m.data_from(lines.start, span.start);
        let (lines, depth) = (lines.len(), span.len());
        let (line_stride, step) = (m.row_stride(), m.col_stride());
        if depth == 0 || lines == 0 {
            return;
        }
        if line_stride == 1 {
            return interleave_rows::<W>(source, step, lines, out, depth);
        }
        for (panel, out) in out.chunks_exact_mut(depth * W).take(lines.div_ceil(W)).enumerate() {
            let source = &source[panel * W * line_stride..];
            let present = W.min(lines - panel * W);
            if step == 1 {
                transpose::<S, W>(s, source, line_stride, present, out);
            } else {
                for (p, group) in out.chunks_exact_mut(W).enumerate() {
                    for (i, value) in group.iter_mut().enumerate() {
                        let at = i * line_stride + p * step;
                        *value = if i < present { source[at] } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Packs lines that lie side by side: each step of the source is copied in runs of `W`.
#[inline(always)]
fn interleave_rows<const W: usize>(
    source: &[f32],
    step: usize,
    lines: usize,
    out: &mut [f32],
    depth: usize,
) {
    /// Panels that are written together. A panel alone reads single cache lines, which no
    /// prefetcher follows; many at once are too far apart for the L1 cache.
    const TOGETHER: usize = 4;
    for (group, out) in out.chunks_mut(TOGETHER * depth * W).enumerate() {
        let first = group * TOGETHER * W;
        if first >= lines {
            break;
        }
        let panels = (lines - first).div_ceil(W).min(TOGETHER);
        if lines - first >= TOGETHER * W {
            assert!(out.len() == TOGETHER * depth * W);
            assert!((depth - 1) * step + first + TOGETHER * W <= source.len());
            for p in 0..depth {
                for i in 0..TOGETHER {
                    // SAFETY: both ends were checked for the last `p` and `i`.
                    unsafe {
                        let from = source.as_ptr().add(p * step + first + i * W);
                        from.copy_to_nonoverlapping(out.as_mut_ptr().add((i * depth + p) * W), W);
                    }
                }
            }
            continue;
        }
        for p in 0..depth {
            let source = &source[p * step + first..];
            for i in 0..panels {
                let (source, out) = (&source[i * W..], &mut out[i * depth * W + p * W..][..W]);
                match source.first_chunk::<W>() {
                    // In the last panel, lines that do not exist get whatever follows.
                    Some(run) => out.copy_from_slice(run),
                    None => {
                        let present = W.min(lines - first - i * W);
                        out[..present].copy_from_slice(&source[..present]);
                    }
                }
            }
        }
    }
}

/// Packs one panel of `present` lines that are contiguous themselves, each `out.len() / W` long.
#[inline(always)]
fn transpose<S: Simd, const W: usize>(
    s: S,
    source: &[f32],
    line_stride: usize,
    present: usize,
    out: &mut [f32],
) {
    let depth = out.len() / W;
    let in_squares = if S::FAST { depth / SIDE * SIDE } else { 0 };
    let mut lines = [source; W];
    for (i, line) in lines.iter_mut().enumerate() {
        *line = &source[i.min(present - 1) * line_stride..][..depth];
    }
    for p in (0..in_squares).step_by(SIDE) {
        for (i, lines) in lines.chunks_exact(SIDE).enumerate() {
            transpose_square(s, lines, p, &mut out[p * W + i * SIDE..], W);
        }
    }
    for p in in_squares..depth {
        for i in 0..W {
            out[p * W + i] = source[i.min(present - 1) * line_stride + p];
        }
    }
}

/// Writes element `p + i` of the lines to `out[i * out_stride..]`, for eight values of `i`.
///
/// Without it, packing the weights takes a quarter of a 64 x 784 x 512 product, with it a
/// twentieth.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "an iterator over vectors would put them in memory")]
fn transpose_square<S: Simd>(s: S, lines: &[&[f32]], p: usize, out: &mut [f32], out_stride: usize) {
    assert!(lines.len() == SIDE);
    let out = out[..(SIDE - 1) * out_stride + SIDE].as_mut_ptr();
    for half in [0, HALF] {
        // SAFETY: `transpose` answers for the lines.
        let columns = unsafe { s.transpose(lines, p + half) };
        for i in 0..HALF {
            // SAFETY: the last of the eight stores ends where `out` does.
            unsafe { s.store_eight(columns[i], out.add((half + i) * out_stride)) };
        }
    }
}
