//! The instructions that multiply bytes in vectors of 256 bits.

use std::arch::x86_64::*;

use crate::isa::simd::{Kernel, Simd};

/// The products of [`Simd`] in vectors of 256 bits.
pub trait Products: Copy + Send + Sync + Sized + 'static {
    /// See [`Simd::LEVEL_BYTES`].
    const LEVEL_BYTES: usize;

    /// Runs `kernel`, compiled for the CPUs that have these products.
    ///
    /// # Safety
    /// The CPU has these products.
    unsafe fn call<S: Simd, K: Kernel>(token: S, kernel: K) -> K::Output;

    /// See [`Simd::dot`].
    ///
    /// # Safety
    /// The CPU has these products.
    unsafe fn dot(acc: __m256i, a: __m256i, w: __m256i) -> __m256i;

    /// See [`Simd::dot_wide`].
    ///
    /// # Safety
    /// The CPU has these products.
    unsafe fn dot_wide(acc: __m256i, a: __m256i, w: __m256i) -> __m256i;

    /// See [`Simd::dot_pair_rule`].
    ///
    /// # Safety
    /// The CPU has these products.
    unsafe fn dot_pair_rule(acc: __m256i, a: __m256i, w: __m256i) -> __m256i;
}

/// Products of 16 bits, `vpmaddwd`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Words;

impl Products for Words {
    /// Numbers of 16 bits reach 157 GOP/s with five or six rows of activations by two vectors; bytes by
    /// `vpmaddubsw`, with the signs moved to the weights so that it cannot saturate, 149.
    const LEVEL_BYTES: usize = 2;

    #[inline]
    unsafe fn call<S: Simd, K: Kernel>(token: S, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled_for_avx2<S: Simd, K: Kernel>(token: S, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the caller promises that the CPU has the features.
        unsafe { compiled_for_avx2(token, kernel) }
    }

    // vpmaddubsw would saturate at i16, so the bytes at even and at odd places are widened to 16 bits apart
    // and multiplied by vpmaddwd, whose sums fit an i32.
    #[inline(always)]
    unsafe fn dot(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX2.
        unsafe {
            let a_even = _mm256_and_si256(a, _mm256_set1_epi16(0x00ff));
            let a_odd = _mm256_srli_epi16::<8>(a);
            let w_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let w_odd = _mm256_srai_epi16::<8>(w);
            let even = _mm256_madd_epi16(a_even, w_even);
            let odd = _mm256_madd_epi16(a_odd, w_odd);
            _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    unsafe fn dot_wide(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(a, w)) }
    }

    #[inline(always)]
    unsafe fn dot_pair_rule(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX2.
        unsafe {
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

/// The sums of products of AVX-VNNI, `vpdpbusd` and `vpdpwssd`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Vnni;

impl Products for Vnni {
    const LEVEL_BYTES: usize = 1;

    #[inline]
    unsafe fn call<S: Simd, K: Kernel>(token: S, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn compiled_for_avxvnni<S: Simd, K: Kernel>(token: S, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the caller promises that the CPU has the features.
        unsafe { compiled_for_avxvnni(token, kernel) }
    }

    #[inline(always)]
    unsafe fn dot(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(acc, a, w) }
    }

    #[inline(always)]
    unsafe fn dot_wide(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX-VNNI.
        unsafe { _mm256_dpwssd_avx_epi32(acc, a, w) }
    }

    #[inline(always)]
    unsafe fn dot_pair_rule(acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller promises AVX-VNNI.
        unsafe { Vnni::dot(acc, a, w) }
    }
}
