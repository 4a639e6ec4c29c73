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
}
