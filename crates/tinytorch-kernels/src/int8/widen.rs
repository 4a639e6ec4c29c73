//! Activations and weights as numbers of 16 bits, for instruction sets that multiply those fastest.
//!
//! A row of activations meets many columns and a panel of weights many rows, so that widening them in
//! the innermost loop would repeat it: it reached 137 of 157 GOP/s with weights widened there, and 101
//! with both.

use super::columns::COLUMNS;
use super::panels::Packed;
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL};

/// Bytes of a widened number.
pub(super) const WIDE: usize = 2;

/// Activations that may be read behind the last one of a row, where weights are 0.
const SLACK: usize = GROUP;

/// The working memory in which a thread widens what it multiplies.
pub(super) struct Wide<'a> {
    /// The panel that is multiplied: for each two values along K, those of each of its columns.
    pub(super) weights: &'a mut [i32],
    pub(super) levels: &'a mut [u8],
}

impl Wide<'_> {
    /// The same memory, for one product of several.
    pub(super) fn again(&mut self) -> Wide<'_> {
        Wide { weights: &mut *self.weights, levels: &mut *self.levels }
    }
}

/// How large a [`Wide`] is: numbers of weights and bytes of activations.
#[derive(Copy, Clone, Default)]
pub(super) struct WideSize {
    pub(super) weights: usize,
    pub(super) levels: usize,
}

impl WideSize {
    /// What `weight` and so many activations need on an instruction set; nothing where they are
    /// multiplied as bytes.
    pub(super) fn of(isa: Isa, weight: &Packed<'_>, activations: usize) -> WideSize {
        if isa.level_bytes() == 1 || weight.pair_rule {
            return WideSize::default();
        }
        WideSize { levels: WIDE * (activations + SLACK), ..WideSize::of_weights(weight) }
    }

    /// What `weight` needs where activations have 16 bits.
    pub(super) fn of_weights(weight: &Packed<'_>) -> WideSize {
        WideSize { weights: weight.k.div_ceil(GROUP) * WIDE * PANEL, levels: 0 }
    }
}

/// Writes bytes as numbers of 16 bits.
pub(super) struct WidenLevels<'a> {
    pub(super) from: &'a [u8],
    pub(super) to: &'a mut [u8],
}

impl Kernel for WidenLevels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, from) in self.to.as_chunks_mut::<WIDE>().0.iter_mut().zip(self.from) {
            *to = u16::from(*from).to_ne_bytes();
        }
    }
}

/// Widens a panel, filled up with zeros to [`PANEL`] columns and whole groups along K, and sums each of
/// its columns, in blocks if there are any.
pub(super) struct WidenPanel<'t, 'a> {
    pub(super) weight: Packed<'a>,
    pub(super) panel: usize,
    /// What [`Packed::expand_tail`] wrote.
    pub(super) tail: &'t [i8; COLUMNS * GROUP],
    /// Groups along K of a block.
    pub(super) block_groups: usize,
    /// For each block, the sum of each column.
    pub(super) sums: &'t mut [i32],
    pub(super) to: &'t mut [i32],
}

impl Kernel for WidenPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.width(self.panel);
        let bytes = &self.weight.from(self.panel)[..width * self.weight.k];
        let (groups, last) = bytes.split_at(self.weight.k / GROUP * GROUP * width);
        let tail = if last.is_empty() { &[][..] } else { &self.tail[..GROUP * width] };
        // SAFETY: the array holds four bytes.
        let ones = unsafe { s.splat_bytes([1u16; WIDE].map(u16::to_ne_bytes).as_ptr().cast()) };
        for first in (0..PANEL).step_by(S::LANES) {
            let lanes = width.saturating_sub(first).min(S::LANES);
            let mut sum = s.splat_i32(0);
            let all = groups.chunks_exact(GROUP * width).chain(tail.chunks_exact(GROUP * width));
            let steps = self.to.chunks_exact_mut(WIDE * PANEL);
            let mut block = 0;
            let mut left = self.block_groups;
            for (group, to) in all.zip(steps) {
                if left == 0 {
                    s.store_i32(sum, &mut self.sums[block * COLUMNS + first..]);
                    (sum, block, left) = (s.splat_i32(0), block + 1, self.block_groups);
                }
                left -= 1;
                let group = &group[GROUP * first.min(width)..][..GROUP * lanes];
                // SAFETY: the slice holds four values for each of the lanes.
                let quads = unsafe { s.load_bytes_partial(group.as_ptr(), lanes) };
                for (step, pairs) in s.widen_quads(quads).into_iter().enumerate() {
                    sum = s.dot_wide(sum, ones, pairs);
                    s.store_i32(s.bytes_to_i32(pairs), &mut to[step * PANEL + first..]);
                }
            }
            s.store_i32(sum, &mut self.sums[block * COLUMNS + first..]);
        }
    }
}
