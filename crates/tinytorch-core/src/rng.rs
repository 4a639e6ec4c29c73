//! Random numbers from a specified generator, so that a seed gives the same numbers for ever.
//!
//! ```
//! use tinytorch_core::Rng;
//! assert_eq!(Rng::seed(1).next_u64(), Rng::seed(1).next_u64());
//! ```

use rand::Rng as _;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// xoshiro256++ (Blackman and Vigna, 2019), with the few distributions that training needs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The generator that this seed names.
    pub fn seed(seed: u64) -> Rng {
        Rng(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The generator that several numbers name together, such as a seed and an epoch; their order
    /// counts.
    pub fn keyed(numbers: &[u64]) -> Rng {
        Rng::seed(numbers.iter().fold(0, |state, n| Rng::seed(state ^ n).next_u64()))
    }

    /// A generator of its own, whose numbers do not depend on how many are drawn from this one later.
    pub fn fork(&mut self) -> Rng {
        Rng::seed(self.next_u64())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform over `0.0..1.0`, from 24 random bits.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform over `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Standard normal, by Box and Muller's transform (1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::from(1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.unit());
        (radius * angle.cos()) as f32
    }

    /// Uniform over `0..n`; 0 for `n = 0`.
    pub fn below(&mut self, n: usize) -> usize {
        // The high half of a 128-bit product is unbiased to 2^-64 n.
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_has_mean_0_and_variance_1() {
        let mut rng = Rng::seed(3);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| f64::from(rng.normal())).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let var = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "mean {mean}, variance {var}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..50).collect();
        Rng::seed(1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
