//! The limits of this machine that kernels are held against.
//!
//! Each function does work that one part of the machine alone bounds, on every thread of the current
//! rayon pool, and whoever calls it takes the time.
//!
//! ```
//! use tinytorch_kernels::{Isa, peak};
//! let started = std::time::Instant::now();
//! let operations = peak::f32_operations(Isa::active());
//! println!("{:.0} GFLOP/s", operations as f64 / started.elapsed().as_secs_f64() / 1e9);
//! ```

use crate::Isa;
use crate::aligned::Number;
use crate::int8::Panels;
use crate::isa::{Kernel, Simd};
use std::hint::black_box;

/// Chains of operations that do not wait for each other: more than the 10 that a latency of 5 cycles
/// and 2 units need, and few enough for the 16 registers of AVX2.
const CHAINS: usize = 12;

/// Operations in each chain: some 0.1 ms in all, against which starting the threads does not count.
const LENGTH: usize = 20_000;

/// Multiplies and adds bytes that are in registers. Returns the number of operations: two for each
/// product, on all threads together.
pub fn int8_operations(isa: Isa) -> u64 {
    on_every_thread(|| isa.run(Dots))
}

/// Multiplies and adds floats that are in registers. Returns the number of operations: two for each
/// product, on all threads together.
pub fn f32_operations(isa: Isa) -> u64 {
    on_every_thread(|| isa.run(MulAdds))
}

fn on_every_thread(work: impl Fn() -> u64 + Sync) -> u64 {
    rayon::broadcast(|_| work()).iter().sum()
}

/// Reads floats once, each thread its part of them.
pub fn read_f32(isa: Isa, values: &[f32]) {
    read(isa, words(values));
}

/// Reads a packed weight once, each thread its part of it.
pub fn read_panels(isa: Isa, weight: &Panels) {
    read(isa, words(weight.packed().from(0)));
}

fn read(isa: Isa, words: &[i32]) {
    rayon::broadcast(|thread| {
        let end_of = |part: usize| words.len() * part / thread.num_threads();
        let own = &words[end_of(thread.index())..end_of(thread.index() + 1)];
        black_box(isa.run(Read(own)));
    });
}

/// Numbers as words, without what is left over at either end.
fn words<T: Number>(values: &[T]) -> &[i32] {
    // SAFETY: numbers have no padding, and every bit pattern is an i32.
    unsafe { values.align_to::<i32>() }.1
}

struct Dots;

impl Kernel for Dots {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        let factor = s.i32_to_bytes(s.splat_i32(0x0102_0304));
        let mut sums = [s.splat_i32(0); CHAINS];
        for _ in 0..LENGTH {
            // An unknown factor in every round, so that no compiler adds it up in advance.
            let x = *black_box(&factor);
            for sum in &mut sums {
                *sum = s.dot(*sum, x, x);
            }
        }
        black_box(sums);
        (2 * 4 * S::LANES * CHAINS * LENGTH) as u64
    }
}

struct MulAdds;

impl Kernel for MulAdds {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        let (factor, mut sums) = (s.splat(0.5), [s.splat(1.0); CHAINS]);
        for _ in 0..LENGTH {
            let x = *black_box(&factor);
            for sum in &mut sums {
                *sum = s.mul_add(*sum, x, x);
            }
        }
        black_box(sums);
        (2 * S::LANES * CHAINS * LENGTH) as u64
    }
}

struct Read<'a>(&'a [i32]);

impl Kernel for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> i32 {
        let mut sums = [s.splat_i32(0); 8];
        for chunk in self.0.chunks_exact(8 * S::LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk.chunks_exact(S::LANES)) {
                *sum = s.add_i32(*sum, s.load_i32(x));
            }
        }
        let all = sums.into_iter().fold(s.splat_i32(0), |all, sum| s.add_i32(all, sum));
        let mut lanes = [0; 16];
        s.store_i32(all, &mut lanes);
        lanes.iter().fold(0, |all, &lane| all.wrapping_add(lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_counts_its_operations_on_every_thread() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                for isa in Isa::available() {
                    let (int8, f32) = (int8_operations(isa), f32_operations(isa));
                    assert_eq!(int8, 4 * f32, "{}", isa.name());
                    assert_eq!(f32 % (2 * threads * CHAINS * LENGTH) as u64, 0);
                }
            });
        }
    }

    #[test]
    fn every_word_is_read() {
        let values: Vec<i32> = (1..=1280).collect();
        for isa in Isa::available() {
            assert_eq!(isa.run(Read(&values)), 1280 * 1281 / 2, "{}", isa.name());
        }
        read_f32(Isa::active(), &[1.0; 1000]);
        read_panels(Isa::active(), &Panels::pack(&[1; 100], 10, 10).unwrap());
    }
}
