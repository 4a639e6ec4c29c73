//! Instruction sets that compute wrong sums, for tests of what has to notice.

use std::sync::atomic::{AtomicU32, Ordering};

use super::scalar::{Dot, ExactDot, LANES};

/// What is wrong with the dot product of a faulty instruction set.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Adjacent products are added in 16 bits, saturating, for all weights: `vpmaddubsw`, which CPUs
    /// without VNNI tempt to use.
    SaturatingPairs,
    /// Groups of four that end with a zero weight in every lane are left out: those that fill up a
    /// `K` which is not divisible by four, and by chance one other in 10^8.
    DroppedTail,
    /// Every 1000th dot product is one too large: a race.
    Unsteady,
    /// Products of 16 bits read the first of their numbers without its sign.
    UnsignedWords,
    /// Sums of products of 16 bits are kept as floats, which round beyond 2^24.
    RoundedWords,
    /// Sums of products of 16 bits saturate at 22 bits.
    NarrowWords,
    /// What numbers of 16 bits are added to, or taken off from, is kept in 8: tiles transformed in bytes.
    NarrowTiles,
}

impl Fault {
    /// What [`Isa::level_bytes`](super::Isa::level_bytes) is: faults of products of 16 bits are those of a set whose
    /// fastest exact products they are, which transforms tiles.
    pub(super) fn level_bytes(self) -> usize {
        match self {
            Fault::SaturatingPairs | Fault::DroppedTail | Fault::Unsteady => 1,
            _ => 2,
        }
    }
}

impl Dot for Fault {
    #[inline(always)]
    fn dot(self, mut acc: [i32; LANES], a: [u8; 4 * LANES], w: [u8; 4 * LANES]) -> [i32; LANES] {
        static DOTS: AtomicU32 = AtomicU32::new(0);
        match self {
            Fault::SaturatingPairs => {
                let product = |i: usize| i32::from(a[i]) * i32::from(w[i].cast_signed());
                for i in (0..4 * LANES).step_by(2) {
                    let pair = product(i) + product(i + 1);
                    let saturated = pair.clamp(i16::MIN.into(), i16::MAX.into());
                    acc[i / 4] = acc[i / 4].wrapping_add(saturated);
                }
                acc
            }
            Fault::DroppedTail if w.iter().skip(3).step_by(4).all(|&w| w == 0) => acc,
            Fault::DroppedTail => ExactDot.dot(acc, a, w),
            Fault::Unsteady => {
                let race = DOTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000);
                acc[0] = acc[0].wrapping_add(race.into());
                ExactDot.dot(acc, a, w)
            }
            _ => ExactDot.dot(acc, a, w),
        }
    }

    #[inline(always)]
    fn dot_wide(self, acc: [i32; LANES], a: [i16; 2 * LANES], w: [i16; 2 * LANES]) -> [i32; LANES] {
        let exact = ExactDot.dot_wide(acc, a, w);
        match self {
            Fault::UnsignedWords => std::array::from_fn(|i| {
                let product = |i: usize| i32::from(a[i].cast_unsigned()) * i32::from(w[i]);
                acc[i].wrapping_add(product(2 * i)).wrapping_add(product(2 * i + 1))
            }),
            Fault::RoundedWords => exact.map(|sum| sum as f32 as i32),
            Fault::NarrowWords => exact.map(|sum| sum.clamp(-1 << 21, (1 << 21) - 1)),
            _ => exact,
        }
    }

    #[inline(always)]
    fn keep(self, sum: i16) -> i16 {
        match self {
            Fault::NarrowTiles => sum.clamp(i8::MIN.into(), i8::MAX.into()),
            _ => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_shows_where_it_should_and_nowhere_else() {
        let acc = [10; LANES];
        let (dim, bright) = ([7; 4 * LANES], [255; 4 * LANES]);
        let (weak, strong) = ([5; 4 * LANES], [127; 4 * LANES]);
        let exact = |a, w| ExactDot.dot(acc, a, w);
        assert_eq!(Fault::SaturatingPairs.dot(acc, dim, weak), exact(dim, weak));
        assert_eq!(Fault::SaturatingPairs.dot(acc, bright, strong), [10 + 2 * 32767; LANES]);
        let tail = std::array::from_fn(|i| if i % 4 == 3 { 0 } else { 5 });
        assert_eq!(Fault::DroppedTail.dot(acc, bright, strong), exact(bright, strong));
        assert_eq!(Fault::DroppedTail.dot(acc, bright, tail), acc);
        let sums = (0..1000).map(|_| Fault::Unsteady.dot(acc, bright, strong));
        assert_eq!(sums.filter(|&sum| sum != exact(bright, strong)).count(), 1);
    }

    #[test]
    fn faults_of_16_bits_show_there_alone() {
        let acc = [1 << 23; LANES];
        let (few, many, below) = ([3; 2 * LANES], [30_001; 2 * LANES], [-3; 2 * LANES]);
        let weights = [127; 2 * LANES];
        let exact = |acc, a| ExactDot.dot_wide(acc, a, weights);
        for fault in
            [Fault::UnsignedWords, Fault::RoundedWords, Fault::NarrowWords, Fault::NarrowTiles]
        {
            assert_eq!(fault.dot_wide([0; LANES], few, weights), exact([0; LANES], few));
            let (bright, strong) = ([255; 4 * LANES], [127; 4 * LANES]);
            assert_eq!(fault.dot(acc, bright, strong), ExactDot.dot(acc, bright, strong));
            assert_eq!(fault.level_bytes(), 2);
        }
        let unsigned = Fault::UnsignedWords.dot_wide([0; LANES], below, weights);
        assert_eq!(unsigned, [2 * 127 * (65_536 - 3); LANES]);
        let rounded = Fault::RoundedWords.dot_wide([(1 << 24) + 1; LANES], few, weights);
        assert_eq!(rounded, [(1 << 24) + 1 + 762 + 1; LANES]);
        assert_eq!(Fault::NarrowWords.dot_wide(acc, many, weights), [(1 << 21) - 1; LANES]);
        assert_eq!([300, -300, 100].map(|sum| Fault::NarrowTiles.keep(sum)), [127, -128, 100]);
        assert_eq!(Fault::NarrowWords.keep(300), 300);
    }
}
