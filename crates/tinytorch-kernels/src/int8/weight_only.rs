//! Products of float activations with int8 weights: dequantized a vector at a time, in registers.

use std::ops::Range;

use super::columns::{COLUMNS, Columns};
use super::error::{check_length, checked_size};
use super::finish::{Finish, FinishTile, Place, Staged, Target};
use super::name::kernel_names;
use super::panels::Packed;
use super::{Epilogue, Int8Error, Panels, QParams, RowParams, Scales};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::bytes_for;
use crate::threads::WEIGHT_ONLY;
use crate::tuning::{GROUP, PANEL, by_isa};
use crate::{Isa, Ran, Scratch};

/// Multiplies float activations, `m` rows of `w.k()` values, by the transpose of a packed weight,
/// and says which kernel ran.
///
/// For when activations must keep their precision: the weight's memory is saved, int8 arithmetic
/// is not used. Sums run over K in ascending order in `f32`, scaled per block of scales, so any
/// number of threads returns the same bits; instruction sets differ in whether a multiply-add is
/// rounded once or twice.
///
/// ```
/// use tinytorch_kernels::int8::{Epilogue, Panels, Scales, gemm_weight_only};
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let weight = Panels::pack(&[1, 2, 3, -4], 2, 2)?;
/// let epilogue = Epilogue { scales: Scales::PerTensor(2.0), bias: None, relu: false };
/// let mut y = [0.0; 2];
/// gemm_weight_only(Isa::active(), &[1.0, 0.5], 1, &weight, &epilogue, &mut y, &mut Scratch::new())?;
/// assert_eq!(y, [4.0, 2.0]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match its shape.
pub fn gemm_weight_only(
    isa: Isa,
    a: &[f32],
    m: usize,
    w: &Panels,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) -> Result<Ran, Int8Error> {
    check_length("the activations", a.len(), checked_size("the activations", &[m, w.k()])?)?;
    epilogue.check(w.n(), w.k(), w.zero_points())?;
    check_length("the output", out.len(), checked_size("the output", &[m, w.n()])?)?;
    let finish = Finish {
        target: Target::F32(SharedOut::new(out)),
        row_stride: w.n(),
        column_stride: 1,
        columns: 0..w.n(),
        relu: epilogue.relu,
    };
    let panels = w.n().div_ceil(PANEL);
    let pieces = WEIGHT_ONLY.shares(m * w.n() * w.k()).min(panels.max(1));
    let numbers = Columns::numbers(epilogue.scales.block(), w.k());
    let mut arena = scratch.arena(bytes_for::<i32>(pieces * numbers));
    let all_numbers = SharedOut::new(arena.take::<i32>(pieces * numbers));
    split(pieces, pieces, &|range| {
        for piece in range {
            // SAFETY: each piece has its own part of the scratch.
            let columns = Columns::over(unsafe { all_numbers.slice(piece * numbers, numbers) });
            let panels = panels * piece / pieces..panels * (piece + 1) / pieces;
            isa.run(WeightOnly {
                a,
                m,
                w: w.packed(),
                epilogue,
                finish: &finish,
                panels,
                columns,
                staged: Staged::new(),
            });
        }
    });
    Ok(Ran::float(kernel_names!("gemm_weight_only").of(isa, false)))
}

struct WeightOnly<'a> {
    a: &'a [f32],
    m: usize,
    w: Packed<'a>,
    epilogue: &'a Epilogue<'a>,
    finish: &'a Finish,
    panels: Range<usize>,
    columns: Columns<'a>,
    staged: Staged,
}

impl Kernel for WeightOnly<'_> {
    type Output = ();

    // As many rows as leave registers for the four dequantized vectors of a group.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        by_isa!(S, T => match self.w.zero_points.is_empty() {
            true => self.by_panels::<S, { T.weight_only.rows }, { T.weight_only.vectors }, true>(s),
            false => self.by_panels::<S, { T.weight_only.rows }, { T.weight_only.vectors }, false>(s),
        })
    }
}

impl WeightOnly<'_> {
    /// The same, of a weight without zero points if `CENTERED`, for each of whose values they cost an operation.
    #[inline(always)]
    fn by_panels<S: Simd, const MR: usize, const NV: usize, const CENTERED: bool>(mut self, s: S) {
        for panel in self.panels.clone() {
            let width = self.w.width(panel);
            let Packed { k, zero_points, .. } = self.w;
            self.columns.describe(self.epilogue, k, zero_points, panel * PANEL, width);
            let mut tail = [0; COLUMNS * GROUP];
            self.w.expand_tail(panel, width, &mut tail);
            let mut row = 0;
            while row < self.m {
                let place = |rows: usize| Place {
                    rows: row..row + rows,
                    first_column: panel * PANEL,
                    width,
                };
                // One row is the decoding of a language model, which must not compute the others.
                if self.m - row == 1 {
                    self.tile::<S, 1, NV, CENTERED>(s, panel, &tail, place(1));
                    row += 1;
                } else {
                    let rows = MR.min(self.m - row);
                    self.tile::<S, MR, NV, CENTERED>(s, panel, &tail, place(rows));
                    row += rows;
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize, const CENTERED: bool>(
        &mut self,
        s: S,
        panel: usize,
        tail: &[i8; COLUMNS * GROUP],
        place: Place,
    ) {
        let k = self.w.k;
        let rows: [&[f32]; MR] = std::array::from_fn(|r| {
            let row = place.rows.start + r.min(place.rows.len() - 1);
            &self.a[row * k..(row + 1) * k]
        });
        let (blocks, block) = match self.epilogue.scales {
            Scales::Blocks { size, .. } => (true, size),
            _ => (false, k.max(1)),
        };
        let weights = self.w.from(panel);
        let zero = s.splat(0.0);
        let mut y = [[zero; NV]; MR];
        for (index, from) in (0..k).step_by(block).enumerate() {
            let to = k.min(from + block);
            let mut sums = [[zero; NV]; MR];
            for at in (from..to).step_by(GROUP) {
                let count = GROUP.min(to - at);
                // Lanes of four values each; beyond the panel's width they are 0.
                let group: [S::I32; NV] = std::array::from_fn(
                    #[inline(always)]
                    |v| {
                        let column = v * S::LANES;
                        let (bytes, lanes) = if count < GROUP {
                            (&tail[column * GROUP..][..S::LANES * GROUP], S::LANES)
                        } else {
                            let lanes = place.width.saturating_sub(column).min(S::LANES);
                            let start = at * place.width + column.min(place.width) * GROUP;
                            (&weights[start..start + lanes * GROUP], lanes)
                        };
                        // SAFETY: the slice holds four values for each lane.
                        s.bytes_to_i32(unsafe { s.load_bytes_partial(bytes.as_ptr(), lanes) })
                    },
                );
                for j in 0..count {
                    let shift = 24 - 8 * j as u32;
                    let w: [S::F32; NV] = std::array::from_fn(
                        #[inline(always)]
                        |v| {
                            let mut w = s.shr(s.shl(group[v], shift), 24);
                            if !CENTERED {
                                let zero_points = &self.columns.zero_points.0[v * S::LANES..];
                                w = s.sub_i32(w, s.load_i32(zero_points));
                            }
                            s.i32_to_f32(w)
                        },
                    );
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        let a = s.splat(row[at + j]);
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = s.mul_add(a, w, *sum);
                        }
                    }
                }
            }
            for v in 0..NV {
                let column = v * S::LANES;
                let scale = if blocks {
                    s.load_f16(&self.columns.block_scales[index * COLUMNS + column..])
                } else {
                    s.load(&self.columns.scales.0[column..])
                };
                for (y, sums) in y.iter_mut().zip(&sums) {
                    y[v] = s.mul_add(sums[v], scale, y[v]);
                }
            }
        }
        for (r, y) in y.iter().enumerate() {
            for (v, y) in y.iter().enumerate() {
                s.store_i32(s.to_bits(*y), &mut self.staged.row_mut(r)[v * S::LANES..]);
            }
        }
        s.call(FinishTile::<true> {
            staged: &mut self.staged,
            columns: &self.columns,
            params: RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 }),
            level_sums: &[],
            finish: self.finish,
            place,
        });
    }
}
