//! From how much work on several threads share a kernel: the one place that knows.
//!
//! Waking a thread costs 5 to 15 us, which a thread must save. How much work that is depends on the
//! kernel, so each kind has a [`Threshold`], counted in what its documentation says. Kernels ask
//! [`Threshold::shares`]; whoever runs them, such as a plan that decides whether to enter a thread pool
//! at all, asks [`Threshold::is_shared`], and both get the same answer.
//!
//! ```
//! use tinytorch_kernels::threads::{MAX_POOL, PRODUCT_F32, product_f32_operations};
//!
//! assert!(!MAX_POOL.is_shared(100_000));
//! assert!(PRODUCT_F32.is_shared(product_f32_operations(128, 384, 1536)));
//! ```

use crate::parallel::pieces;

/// The work that each of several threads has at least.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Threshold {
    per_thread: usize,
}

impl Threshold {
    const fn of(per_thread: usize) -> Threshold {
        Threshold { per_thread }
    }

    /// The work below which handing it to a thread costs more than it saves.
    pub const fn per_thread(self) -> usize {
        self.per_thread
    }

    /// Whether the work is enough for two threads, where there are so many.
    pub const fn is_shared(self, work: usize) -> bool {
        work >= 2 * self.per_thread
    }

    /// How many threads of rayon's current pool share the work; at least one.
    pub fn shares(self, work: usize) -> usize {
        pieces(work, self.per_thread)
    }

    /// The fewest items that a thread is handed, where each takes `work`; at least one.
    pub(crate) fn items(self, work: usize) -> usize {
        (self.per_thread / work.max(1)).max(1)
    }
}

/// Float products, and convolutions that are products: operations, as [`product_f32_operations`] counts
/// them. They take about 10 us.
pub const PRODUCT_F32: Threshold = Threshold::of(1_000_000);

/// Operations that packing one value for a float product costs as much as: four values a cycle, in which
/// AVX-512 does 32 to 64 operations.
pub const PACKING_COST: usize = 8;

/// The operations of a float product of `m` x `k` by `k` x `n` values: two for each multiply-add, and
/// [`PACKING_COST`] for each value of either factor.
pub const fn product_f32_operations(m: usize, k: usize, n: usize) -> usize {
    (2 * m * n).saturating_add(PACKING_COST * (m + n)).saturating_mul(k)
}

/// Depthwise float convolutions: multiplications.
pub const DEPTHWISE_F32: Threshold = Threshold::of(1 << 16);

/// Gradients of float convolutions, shared image by image: multiply-adds.
pub const CONV_GRADIENT_F32: Threshold = Threshold::of(1 << 20);

/// Functions of each value or of pairs: additions, of which a [`Function`](crate::f32::Function) says how
/// many it takes the time of. One thread adds some 60,000 pairs of values from the L2 cache in the 5 to
/// 10 us that a hand-off costs.
pub const MAP: Threshold = Threshold::of(1 << 16);

/// Softmax and normalization of rows: values, each of which takes the time of several additions.
pub const ROWS: Threshold = Threshold::of(1 << 14);

/// Sums over arrays and columns: values.
pub const REDUCE: Threshold = Threshold::of(1 << 17);

/// Update steps of optimizers: parameters. A pass reads and writes up to seven values for each.
pub const OPTIMIZER: Threshold = Threshold::of(1 << 14);

/// Averages of windows: pixels of the input.
pub const AVERAGE_POOL: Threshold = Threshold::of(1 << 16);

/// Largest values of windows: bytes of the input; 256k take about 10 us.
pub const MAX_POOL: Threshold = Threshold::of(1 << 18);

/// Int8 products: operations, as [`product_int8_operations`] counts them. They take about 10 us on AVX2 and
/// 5 on AVX-512 VNNI.
pub const PRODUCT_INT8: Threshold = Threshold::of(1 << 19);

/// Int8 convolutions: operations, as [`product_int8_operations`] counts them.
pub const CONV_INT8: Threshold = Threshold::of(1 << 19);

/// Multiply-adds of an int8 product that rescaling and writing one of its results takes as long as.
pub const RESULT_COST: usize = 16;

/// The operations of an int8 product with so many results, each the sum of `k` products.
pub const fn product_int8_operations(results: usize, k: usize) -> usize {
    results.saturating_mul(k.saturating_add(RESULT_COST))
}

/// Depthwise int8 convolutions: multiply-adds, which take more than ten times as long as those of other
/// convolutions, 17 us on AVX2 and 6 on AVX-512 VNNI; but each thread prepares the weights again. Twice as many left a second
/// thread asleep between the convolutions around them: MobileNetV2 took 3.5 ms on two threads instead of 3.0 (AVX2) where
/// waking one was slow.
pub const DEPTHWISE_INT8: Threshold = Threshold::of(CONV_INT8.per_thread / 4);

/// Products of floats with int8 weights: multiply-adds.
pub const WEIGHT_ONLY: Threshold = Threshold::of(1 << 18);

/// Products with an int8 weight that is not transposed: multiply-adds.
pub const TRANSPOSED: Threshold = Threshold::of(1 << 18);

/// Quantizing with a scale that is known: values; 64k take about 10 us.
pub const QUANTIZE: Threshold = Threshold::of(1 << 16);

/// Quantizing rows, each over its own range: values, which are read twice.
pub const QUANTIZE_ROWS: Threshold = Threshold::of(1 << 15);

/// Loops that call no kernel: simple operations. A hand-off costs about 13 us, in which one thread does
/// some 10^5.
pub const PLAIN_LOOP: Threshold = Threshold::of(100_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_gets_the_answer_that_kernels_get() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            for threshold in [PRODUCT_F32, MAP, DEPTHWISE_INT8] {
                let least = threshold.per_thread();
                let shares = |work| (threshold.shares(work), threshold.is_shared(work));
                assert_eq!(shares(0), (1, false));
                assert_eq!(shares(2 * least - 1), (1, false));
                assert_eq!(shares(2 * least), (2, true));
                assert_eq!(shares(100 * least), (3, true));
            }
        });
    }

    #[test]
    fn large_items_are_handed_out_one_by_one() {
        assert_eq!(MAP.items(0), 1 << 16);
        assert_eq!(MAP.items(1 << 10), 1 << 6);
        assert_eq!(MAP.items(usize::MAX), 1);
    }
}
