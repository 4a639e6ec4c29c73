//! What the epilogue needs to know of the columns of a tile, gathered once for all its rows.

use half::f16;

use super::{Epilogue, Scales};
use crate::tuning::MOST_INT8;

/// Columns of the widest tile: four vectors of AVX-512.
pub(super) const COLUMNS: usize = MOST_INT8.1;

/// A number for each column, on whole cache lines: a vector across two of them takes twice as long to
/// load.
#[repr(align(64))]
pub(super) struct Lanes<T>(pub(super) [T; COLUMNS]);

/// Scales, bias, weight sums and zero points of up to [`COLUMNS`] columns.
pub(super) struct Columns<'a> {
    pub(super) bias: Lanes<f32>,
    /// The scale of each column; 1 where blocks have theirs.
    pub(super) scales: Lanes<f32>,
    /// For each block along K, the scale of each column; 1 where columns have theirs.
    pub(super) block_scales: &'a mut [f16],
    /// For each block along K, or once where there are none, the sum of each column's weights; 0
    /// where no zero point needs it.
    pub(super) sums: &'a mut [i32],
    /// The level of each column that stands for 0.
    pub(super) zero_points: Lanes<i32>,
}

impl<'a> Columns<'a> {
    /// Numbers of scratch that [`Columns::over`] takes, for `k` weights summed in blocks of so many, if in any.
    pub(super) fn numbers(block: Option<usize>, k: usize) -> usize {
        block.map_or(1, |size| k.div_ceil(size).max(1)) * (COLUMNS + COLUMNS / 2)
    }

    /// Columns that keep what depends on K in `numbers`: two thirds sums, one third block scales.
    pub(super) fn over(numbers: &'a mut [i32]) -> Columns<'a> {
        let (sums, block_scales) = numbers.split_at_mut(numbers.len() / 3 * 2);
        let (bias, scales) = (Lanes([0.0; COLUMNS]), Lanes([1.0; COLUMNS]));
        let zero_points = Lanes([0; COLUMNS]);
        Columns { bias, scales, block_scales: as_f16(block_scales), sums, zero_points }
    }

    /// Blocks along K; 1 where there are none.
    pub(super) fn blocks(&self) -> usize {
        self.sums.len() / COLUMNS
    }

    /// Gathers scales, bias and zero points of `width` columns from `first` on, for rows of `k` weights.
    #[inline(always)]
    pub(super) fn describe(
        &mut self,
        epilogue: &Epilogue<'_>,
        k: usize,
        zero_points: &[i8],
        first: usize,
        width: usize,
    ) {
        match epilogue.scales {
            Scales::PerTensor(scale) => self.scales.0.fill(scale),
            Scales::PerChannel(scales) => {
                copy(&scales[first..first + width], &mut self.scales);
            }
            Scales::Blocks { size, scales } => {
                let blocks = k.div_ceil(size);
                let scales = &scales[first * blocks..][..width * blocks];
                let transposed = self.block_scales.chunks_exact_mut(COLUMNS).take(blocks);
                for (block, to) in transposed.enumerate() {
                    for (to, row) in to.iter_mut().zip(scales.chunks_exact(blocks)) {
                        *to = row[block];
                    }
                }
            }
        }
        if let Some(bias) = epilogue.bias {
            copy(&bias[first..first + width], &mut self.bias);
        }
        if !zero_points.is_empty() {
            let levels = &zero_points[first..first + width];
            self.zero_points.0.iter_mut().zip(levels).for_each(|(to, &z)| *to = i32::from(z));
        }
    }
}

/// Copies as many numbers as there are; all of them without a call of `memcpy`.
#[inline(always)]
fn copy(from: &[f32], to: &mut Lanes<f32>) {
    match <&[f32; COLUMNS]>::try_from(from) {
        Ok(all) => to.0 = *all,
        Err(_) => to.0[..from.len()].copy_from_slice(from),
    }
}

fn as_f16(numbers: &mut [i32]) -> &mut [f16] {
    // SAFETY: an i32 is as large as two f16 and more strictly aligned, and all bit patterns of
    // both are values.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), 2 * numbers.len()) }
}
