//! Products with a packed weight as it is, not transposed: gradients with respect to the input.

use std::ops::Range;

use super::error::{check_length, checked_size};
use super::name::kernel_names;
use super::{Int8Error, Panels, Scales};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::bytes_for;
use crate::threads::TRANSPOSED;
use crate::tuning::by_isa;
use crate::{Isa, Ran, Scratch};

/// Columns of the output, values along K, that are dequantized at a time: with [`ROWS`] rows they
/// take 32 KB.
const WIDTH: usize = 256;

/// Rows of the weight that are dequantized at a time.
const ROWS: usize = 32;

/// Writes `g * dequantized(w)` to `out` and says which kernel ran.
///
/// `g` is `m` rows of `w.n()` values, `out` is `m` rows of `w.k()` values. The weight is
/// dequantized in tiles of 32 by 256, so the scratch stays small whatever the weight's size. Sums
/// run over N in ascending order, so any number of threads returns the same bits.
///
/// ```
/// use tinytorch_kernels::int8::{Panels, Scales, gemm_transposed};
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let weight = Panels::pack(&[1, 2, 3, -4], 2, 2)?;
/// let mut gradient = [0.0; 2];
/// let scales = Scales::PerChannel(&[1.0, 0.5]);
/// gemm_transposed(Isa::active(), &[1.0, 2.0], 1, &weight, &scales, &mut gradient, &mut Scratch::new())?;
/// assert_eq!(gradient, [4.0, -2.0]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match its shape.
pub fn gemm_transposed(
    isa: Isa,
    g: &[f32],
    m: usize,
    w: &Panels,
    scales: &Scales<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) -> Result<Ran, Int8Error> {
    let (n, k) = (w.n(), w.k());
    check_length("the gradient", g.len(), checked_size("the gradient", &[m, n])?)?;
    scales.check(n, k, w.zero_points())?;
    check_length("the output", out.len(), checked_size("the output", &[m, k])?)?;
    out.fill(0.0);
    let strips = k.div_ceil(WIDTH);
    let pieces = TRANSPOSED.shares(m * n * k).min(strips.max(1));
    let mut arena = scratch.arena(bytes_for::<f32>(pieces * ROWS * WIDTH));
    let tiles = SharedOut::new(arena.take::<f32>(pieces * ROWS * WIDTH));
    let out = SharedOut::new(out);
    split(pieces, pieces, &|range| {
        for piece in range {
            // SAFETY: each piece has its own part of the scratch.
            let tile = unsafe { tiles.slice(piece * ROWS * WIDTH, ROWS * WIDTH) };
            let strips = strips * piece / pieces..strips * (piece + 1) / pieces;
            isa.run(Strips { g, m, w, scales, strips, tile, out });
        }
    });
    Ok(Ran::float(kernel_names!("gemm_transposed").of(isa, false)))
}

/// Some columns of the output, [`WIDTH`] at a time.
struct Strips<'a> {
    g: &'a [f32],
    m: usize,
    w: &'a Panels,
    scales: &'a Scales<'a>,
    strips: Range<usize>,
    tile: &'a mut [f32],
    out: SharedOut<f32>,
}

impl Kernel for Strips<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (n, k) = (self.w.n(), self.w.k());
        for strip in self.strips.clone() {
            let columns = strip * WIDTH..k.min((strip + 1) * WIDTH);
            for first in (0..n).step_by(ROWS) {
                let weights = first..n.min(first + ROWS);
                for (i, row) in weights.clone().enumerate() {
                    self.dequantize(s, row, columns.clone(), i * WIDTH);
                }
                let mut row = 0;
                while row < self.m {
                    row += match self.m - row {
                        1 => self.accumulate::<S, 1, 2>(s, row, &weights, &columns),
                        2..8 => self.accumulate::<S, 2, 2>(s, row, &weights, &columns),
                        _ => by_isa!(S, T => self.accumulate::<
                            S, { T.transposed.rows }, { T.transposed.vectors },
                        >(s, row, &weights, &columns)),
                    };
                }
            }
        }
    }
}

impl Strips<'_> {
    /// Writes the columns of a row of the weight to the tile, and zeros up to [`WIDTH`].
    #[inline(always)]
    fn dequantize<S: Simd>(&mut self, s: S, row: usize, columns: Range<usize>, at: usize) {
        let mut values = [0; WIDTH];
        self.w.values_into(row, columns.start, &mut values[..columns.len()]);
        let out = &mut self.tile[at..at + WIDTH];
        let scale = match self.scales {
            Scales::PerTensor(scale) => *scale,
            Scales::PerChannel(scales) => scales[row],
            Scales::Blocks { size, scales } => {
                let of_row = &scales[row * self.w.k().div_ceil(*size)..];
                for (i, (out, value)) in out.iter_mut().zip(values).enumerate() {
                    let inside = i < columns.len();
                    let block = (columns.start + i) / size;
                    *out = if inside { f32::from(value) * of_row[block].to_f32() } else { 0.0 };
                }
                return;
            }
        };
        let zero_point = s.splat_i32(i32::from(self.w.zero_point(row)));
        for (out, values) in out.chunks_exact_mut(S::LANES).zip(values.chunks_exact(S::LANES)) {
            let steps = s.sub_i32(s.load_i8(values), zero_point);
            s.store(s.mul(s.i32_to_f32(steps), s.splat(scale)), out);
        }
    }

    /// Adds the tile's products to up to `MR` rows of the output from `row` on, and returns how
    /// many.
    #[inline(always)]
    fn accumulate<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        row: usize,
        weights: &Range<usize>,
        columns: &Range<usize>,
    ) -> usize {
        let (n, k) = (self.w.n(), self.w.k());
        let rows = MR.min(self.m - row);
        // Rows beyond the last one repeat it, and are not written.
        let g: [&[f32]; MR] =
            std::array::from_fn(|r| &self.g[(row + r.min(rows - 1)) * n..][weights.clone()]);
        for first in (0..columns.len()).step_by(NV * S::LANES) {
            let out = |r: usize, v: usize| {
                let from = (first + v * S::LANES).min(columns.len());
                let to = (from + S::LANES).min(columns.len());
                // SAFETY: the elements belong to this thread's strips of the output.
                unsafe { self.out.slice((row + r) * k + columns.start + from, to - from) }
            };
            let mut sums = [[s.splat(0.0); NV]; MR];
            for (r, sums) in sums.iter_mut().enumerate().take(rows) {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = s.load_partial(out(r, v));
                }
            }
            for (i, tile) in self.tile.chunks_exact(WIDTH).enumerate().take(weights.len()) {
                let tile = &tile[first..first + NV * S::LANES];
                let w: [S::F32; NV] = std::array::from_fn(|v| s.load(&tile[v * S::LANES..]));
                for (sums, g) in sums.iter_mut().zip(g) {
                    let g = s.splat(g[i]);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = s.mul_add(g, w, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate().take(rows) {
                for (v, sum) in sums.iter().enumerate() {
                    s.store_partial(*sum, out(r, v));
                }
            }
        }
        rows
    }
}
