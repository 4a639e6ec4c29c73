//! The limits of the machine, measured: what a kernel's rate is held against.
//!
//! ```no_run
//! use tinytorch_kernels::{Isa, peak};
//!
//! let peak = peak::compute(Isa::active(), 2);
//! let l3 = peak::read_bandwidth(Isa::active(), 8 << 20, 2);
//! println!("{:.0} GFLOP/s, {:.0} GOP/s, {l3:.0} GB/s", peak.f32_gflops, peak.int8_gops);
//! ```

use crate::Isa;
use crate::aligned::AlignedVec;
use crate::isa::{Kernel, Simd};
use crate::tuning::{Int8Tile, by_isa};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long each rate is measured; the first third warms up and does not count.
const TIME: Duration = Duration::from_millis(75);
/// Registers that hold sums: enough for two multiply-adds a cycle that take four cycles each, and few
/// enough for the sixteen registers of AVX2.
const SUMS: usize = 12;
/// Instructions for each sum between two looks at the clock, about 10 us.
const ROUNDS: usize = 2000;

/// What the arithmetic units do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComputePeak {
    /// Multiplications and additions of bytes, 10^9 a second: `vpdpbusd` where the ISA has it, on AVX2
    /// `vpmaddwd` and `vpaddd`, which are exact.
    pub int8_gops: f64,
    /// Multiplications and additions of f32, 10^9 a second.
    pub f32_gflops: f64,
}

/// Measures the arithmetic units of `threads` cores, with operands in registers, or, for int8,
/// in the first-level cache; takes 150 ms.
pub fn compute(isa: Isa, threads: usize) -> ComputePeak {
    ComputePeak {
        int8_gops: total_rate(threads, |_| (), |()| isa.run(IntegerDots)) / 1e9,
        f32_gflops: total_rate(threads, |_| (), |()| isa.run(MultiplyAdds)) / 1e9,
    }
}

/// Measures how fast `threads` cores read, each from a buffer of its own of `bytes` bytes, in GB/s
/// (10^9); takes 75 ms after the buffers are made. The size decides which cache is measured.
///
/// # Panics
/// If the buffers do not fit in memory.
pub fn read_bandwidth(isa: Isa, bytes: usize, threads: usize) -> f64 {
    let values = (bytes / size_of::<f32>()).max(1);
    let buffer = |_| AlignedVec::filled(values, 1.0_f32);
    total_rate(threads, buffer, |buffer| isa.run(Read(buffer))) / 1e9
}

/// The sum of what each thread does a second, where `work` says how much it did.
fn total_rate<T>(
    threads: usize,
    prepare: impl Fn(usize) -> T + Sync,
    work: impl Fn(&T) -> f64 + Sync,
) -> f64 {
    let barrier = Barrier::new(threads);
    let run = |thread| {
        let state = prepare(thread);
        barrier.wait();
        let start = Instant::now();
        while start.elapsed() < TIME / 3 {
            work(&state);
        }
        let (start, mut done) = (Instant::now(), 0.0);
        while start.elapsed() < TIME * 2 / 3 {
            done += work(&state);
        }
        done / start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let run = &run;
        let others: Vec<_> = (1..threads).map(|t| scope.spawn(move || run(t))).collect();
        let first = run(0);
        // A thread that panicked has no rate; `scope` passes its panic on.
        first + others.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum::<f64>()
    })
}

struct MultiplyAdds;

impl Kernel for MultiplyAdds {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let (a, b) = (s.splat(black_box(1.5)), s.splat(black_box(1e-9)));
        let mut sums = [s.splat(0.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = s.mul_add(a, b, *sum);
            }
        }
        for sum in sums {
            black_box(s.sum(sum));
        }
        (2 * S::LANES * SUMS * ROUNDS) as f64
    }
}

struct IntegerDots;

impl Kernel for IntegerDots {
    type Output = f64;
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        by_isa!(S, T => {
            const TILE: Int8Tile = T.product_int8.whole[2];
            self.rate::<S, { TILE.rows }, { TILE.together }>(s)
        })
    }
}

impl IntegerDots {
    /// As in the innermost loop of a product of `R` rows with `V` vectors of columns.
    #[inline(always)]
    fn rate<S: Simd, const R: usize, const V: usize>(self, s: S) -> f64 {
        // Four bytes of each row, and four for each lane of the widest vectors.
        let (rows, weights) = ([[1_u8; 4]; R], [[1_i8; 64]; V]);
        let mut sums = [[s.splat_i32(0); V]; R];
        for _ in 0..ROUNDS {
            // They might have changed: products of the same numbers would be computed once.
            let (rows, weights) = (black_box(&rows), black_box(&weights));
            // SAFETY: no vector has more than sixteen lanes of four bytes.
            let weights = weights.each_ref().map(|w| unsafe { s.load_bytes(w.as_ptr()) });
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: a row has four bytes.
                let levels = unsafe { s.splat_bytes(row.as_ptr()) };
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = match S::LEVEL_BYTES {
                        1 => s.dot(*sum, levels, weights),
                        _ => s.dot_wide(*sum, levels, weights),
                    };
                }
            }
        }
        let mut lanes = [0; 16];
        for sum in sums.as_flattened() {
            s.store_i32(*sum, &mut lanes);
            black_box(lanes);
        }
        (8 / S::LEVEL_BYTES * S::LANES * R * V * ROUNDS) as f64
    }
}

/// Adds up a buffer, and returns its bytes.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        const VECTORS: usize = 8;
        let mut sums = [s.splat(0.0); VECTORS];
        for block in self.0.chunks_exact(VECTORS * S::LANES) {
            for (sum, values) in sums.iter_mut().zip(block.chunks_exact(S::LANES)) {
                *sum = s.add(*sum, s.load(values));
            }
        }
        for sum in sums {
            black_box(s.sum(sum));
        }
        size_of_val(self.0) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_isa_has_rates() {
        let rates: Vec<_> = Isa::available().into_iter().map(|isa| compute(isa, 1)).collect();
        assert!(rates.iter().all(|rate| rate.f32_gflops > 0.1 && rate.int8_gops > 0.1));
        assert!(read_bandwidth(Isa::detect_best(), 1 << 16, 2) > 0.1);
    }

    #[test]
    fn a_buffer_smaller_than_a_vector_is_read() {
        assert!(read_bandwidth(Isa::Scalar, 0, 1) > 0.0);
    }
}
