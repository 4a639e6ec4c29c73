//! What the activations of each row add up to, less their zero point: what weights with a zero point of
//! their own take off each of their results, as often as that says.

use super::conv_shape::ConvShape;
use super::operands::RowParams;
use super::slab::Slab;
use crate::isa::{Kernel, Simd};
use crate::tuning::GROUP;

/// Adds up the rows of a matrix.
pub(super) struct SumRows<'a> {
    /// All rows, of `k` levels each.
    pub(super) levels: &'a [u8],
    pub(super) k: usize,
    pub(super) params: RowParams<'a>,
    /// The row that the first sum is of.
    pub(super) first: usize,
    pub(super) sums: &'a mut [i32],
}

impl Kernel for SumRows<'_> {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, sum) in (self.first..).zip(self.sums) {
            let levels = &self.levels[row * self.k..][..self.k];
            let zero_point = i32::from(self.params.of(row).zero_point);
            *sum = total(s, levels) - zero_point * self.k as i32;
        }
    }
}

/// Adds up, for each group, the levels under the kernel at each output pixel of some rows.
pub(super) struct SumWindows<'a> {
    pub(super) shape: &'a ConvShape,
    /// The pixels under the rows, from the first one on.
    pub(super) slab: Slab<'a>,
    pub(super) zero_point: u8,
    pub(super) rows: usize,
    pub(super) out_width: usize,
    /// As many numbers as [`SumWindows::pixels`] says.
    pub(super) pixels: &'a mut [i32],
    /// For each group those of all pixels.
    pub(super) sums: &'a mut [i32],
}

impl SumWindows<'_> {
    /// Numbers of working memory for so many rows of outputs.
    pub(super) fn pixels(shape: &ConvShape, rows: usize) -> usize {
        Slab::height(shape, rows) * shape.padded_width() * shape.groups
    }
}

impl Kernel for SumWindows<'_> {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, slab, rows, out_width, pixels, sums, .. } = self;
        let (groups, channels, width) =
            (shape.groups, shape.group_channels(), shape.padded_width());
        let of_zeros = i32::from(self.zero_point) * channels as i32;
        for (y, sums) in pixels.chunks_exact_mut(width * groups).enumerate() {
            let levels = &slab.pixels[y * slab.row_stride..][..width * shape.in_channels];
            for (sum, levels) in sums.iter_mut().zip(levels.chunks_exact(channels)) {
                *sum = total(s, levels) - of_zeros;
            }
        }
        let ([down, across], [below, beside]) = (shape.stride, shape.dilation);
        for (group, sums) in sums.chunks_exact_mut(rows * out_width).enumerate() {
            sums.fill(0);
            for (y, sums) in sums.chunks_exact_mut(out_width).enumerate() {
                for tap in 0..shape.kernel[0] * shape.kernel[1] {
                    let (i, j) = (tap / shape.kernel[1], tap % shape.kernel[1]);
                    let first = ((y * down + i * below) * width + j * beside) * groups + group;
                    let under = pixels[first..].iter().step_by(across * groups);
                    sums.iter_mut().zip(under).for_each(|(sum, pixel)| *sum += pixel);
                }
            }
        }
    }
}

/// The sum of levels.
#[inline(always)]
fn total<S: Simd>(s: S, levels: &[u8]) -> i32 {
    let (whole, rest) = levels.split_at(levels.len() / (GROUP * S::LANES) * GROUP * S::LANES);
    let rest: i32 = rest.iter().map(|&level| i32::from(level)).sum();
    if whole.is_empty() {
        return rest;
    }
    // SAFETY: the constant holds four values.
    let ones = unsafe { s.splat_bytes([1u8; GROUP].as_ptr()) };
    let mut sums = s.splat_i32(0);
    for levels in whole.chunks_exact(GROUP * S::LANES) {
        // SAFETY: the slice holds four bytes for each lane.
        sums = s.dot(sums, unsafe { s.load_bytes(levels.as_ptr().cast()) }, ones);
    }
    let mut lanes = [0; crate::tuning::PANEL];
    s.store_i32(sums, &mut lanes);
    rest + lanes[..S::LANES].iter().sum::<i32>()
}
