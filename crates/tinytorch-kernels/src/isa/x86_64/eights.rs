//! [`Eights`] of the instruction sets that have AVX and FMA.

use std::arch::x86_64::*;

use super::Avx512Vnni;
use super::avx2::Vectors256;
use super::products::Products;
use crate::isa::eights::Eights;

macro_rules! eights {
    ($($isa:ty $(, $p:ident: $bound:ident)?;)*) => {$(
        impl$(<$p: $bound>)? Eights for $isa {
            const FAST: bool = true;
            type Eight = __m256;

            #[inline(always)]
            fn splat_eight(self, x: f32) -> __m256 {
                // SAFETY: `self` proves that the CPU has AVX.
                unsafe { _mm256_set1_ps(x) }
            }
            #[inline(always)]
            unsafe fn load_eight(self, x: *const f32) -> __m256 {
                // SAFETY: the caller promises eight readable values.
                unsafe { _mm256_loadu_ps(x) }
            }
            #[inline(always)]
            unsafe fn store_eight(self, v: __m256, out: *mut f32) {
                // SAFETY: the caller promises eight writable values.
                unsafe { _mm256_storeu_ps(out, v) }
            }
            #[inline(always)]
            fn mul_add_eight(self, a: __m256, b: __m256, c: __m256) -> __m256 {
                // SAFETY: `self` proves that the CPU has FMA.
                unsafe { _mm256_fmadd_ps(a, b, c) }
            }
            #[inline(always)]
            unsafe fn transpose(self, lines: &[&[f32]], p: usize) -> [__m256; 4] {
                // SAFETY: `self` proves that the CPU has AVX; the caller answers for the lines.
                unsafe { transpose(lines, p) }
            }
        }
    )*};
}
eights! {
    Vectors256<P>, P: Products;
    Avx512Vnni;
}

/// Line `i` and line `i + 4` share a register, whose halves are transposed alike.
///
/// # Safety
/// The CPU has AVX, and each of eight lines holds four elements from `p` on.
#[inline(always)]
unsafe fn transpose(lines: &[&[f32]], p: usize) -> [__m256; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [_mm256_setzero_ps(); 4];
        for i in 0..4 {
            // Not an array of pointers, made first: the compiler keeps more of it in memory.
            let low = _mm_loadu_ps(lines.get_unchecked(i).as_ptr().add(p));
            let high = _mm_loadu_ps(lines.get_unchecked(i + 4).as_ptr().add(p));
            rows[i] = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high);
        }
        let low_01 = _mm256_unpacklo_ps(rows[0], rows[1]);
        let high_01 = _mm256_unpackhi_ps(rows[0], rows[1]);
        let low_23 = _mm256_unpacklo_ps(rows[2], rows[3]);
        let high_23 = _mm256_unpackhi_ps(rows[2], rows[3]);
        [
            _mm256_shuffle_ps::<0x44>(low_01, low_23),
            _mm256_shuffle_ps::<0xee>(low_01, low_23),
            _mm256_shuffle_ps::<0x44>(high_01, high_23),
            _mm256_shuffle_ps::<0xee>(high_01, high_23),
        ]
    }
}
