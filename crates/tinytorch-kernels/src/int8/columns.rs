//! What the epilogue needs to know of the columns of a tile, gathered once for all its rows.

use half::f16;

use super::{Epilogue, Scales};

/// Columns of the widest tile: four vectors of AVX-512.
pub(super) const COLUMNS: usize = 64;

/// Scales, bias and weight sums of up to [`COLUMNS`] columns.
pub(super) struct Columns<'a> {
    pub(super) bias: [f32; COLUMNS],
    /// The scale of each column, where there are no blocks.
    pub(super) scales: [f32; COLUMNS],
    /// For each block along K, the scale of each column.
    pub(super) block_scales: &'a mut [f16],
    /// For each block along K, or once where there are none, the sum of each column's weights; 0
    /// where no zero point needs it.
    pub(super) sums: &'a mut [i32],
}

impl<'a> Columns<'a> {
    /// Numbers of scratch that [`Columns::over`] takes.
    pub(super) fn numbers(epilogue: &Epilogue<'_>, k: usize) -> usize {
        match epilogue.scales {
            Scales::Blocks { size, .. } => k.div_ceil(size).max(1) * (COLUMNS + COLUMNS / 2),
            _ => COLUMNS + COLUMNS / 2,
        }
    }

    /// Columns that keep what depends on K in `numbers`: two thirds sums, one third block scales.
    pub(super) fn over(numbers: &'a mut [i32]) -> Columns<'a> {
        let (sums, scales) = numbers.split_at_mut(numbers.len() / 3 * 2);
        Columns { bias: [0.0; COLUMNS], scales: [0.0; COLUMNS], block_scales: as_f16(scales), sums }
    }

    /// Blocks along K; 1 where there are none.
    pub(super) fn blocks(&self) -> usize {
        self.sums.len() / COLUMNS
    }

    /// Gathers scales and bias of `width` columns from `first` on, for rows of `k` weights.
    pub(super) fn describe(
        &mut self,
        epilogue: &Epilogue<'_>,
        k: usize,
        first: usize,
        width: usize,
    ) {
        match epilogue.scales {
            Scales::PerTensor(scale) => self.scales.fill(scale),
            Scales::PerChannel(scales) => {
                self.scales[..width].copy_from_slice(&scales[first..first + width]);
            }
            Scales::Blocks { size, scales } => {
                let blocks = k.div_ceil(size);
                for column in 0..width {
                    let row = &scales[(first + column) * blocks..][..blocks];
                    let transposed = self.block_scales[column..].iter_mut().step_by(COLUMNS);
                    for (to, from) in transposed.zip(row) {
                        *to = *from;
                    }
                }
            }
        }
        if let Some(bias) = epilogue.bias {
            self.bias[..width].copy_from_slice(&bias[first..first + width]);
        }
    }
}

fn as_f16(numbers: &mut [i32]) -> &mut [f16] {
    // SAFETY: an i32 is as large as two f16 and more strictly aligned, and all bit patterns of
    // both are values.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), 2 * numbers.len()) }
}
