//! The x86-64 instruction sets. All their `unsafe` rests on one fact: a token exists only after
//! its `detect` found the features.

mod avx2;
mod avx512;
mod eights;
mod products;

pub use avx2::{Avx2, AvxVnni};
pub use avx512::Avx512Vnni;

/// Asks for the cache line of an address, which need not be one that may be read.
#[inline(always)]
pub(super) fn prefetch(address: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 CPU has the instruction, and a prefetch of a wrong address is no access.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

/// As [`prefetch`], into the L2 cache.
#[inline(always)]
pub(super) fn prefetch_to_l2(address: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: as above.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
}

/// Defines methods of [`Simd`](super::Simd) whose bodies are register-only intrinsics.
macro_rules! register_ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: `self` proves that the CPU has these instructions.
            unsafe { $body }
        }
    )*};
}
use register_ops;

/// Which of 16 bytes come first where only the lowest `N` of every four are wanted.
const fn lowest<const N: usize>() -> [u8; 16] {
    let (mut order, mut i) = ([0x80; 16], 0);
    while i < 4 * N {
        order[i] = (i / N * 4 + i % N) as u8;
        i += 1;
    }
    order
}
