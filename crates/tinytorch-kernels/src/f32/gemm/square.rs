//! Transposing in registers: lines that lie apart become vectors of one element of each.

use crate::isa::Simd;

/// Lines that are transposed together.
pub(super) const SIDE: usize = 8;

/// Whether the ISA has the registers of [`elements`].
#[inline(always)]
pub(super) const fn has_fast_squares<S: Simd>() -> bool {
    cfg!(target_arch = "x86_64") && S::LANES >= SIDE
}

/// Elements that [`elements`] reads of each line.
#[cfg(target_arch = "x86_64")]
pub(super) const HALF: usize = SIDE / 2;

/// Element `p + i` of each of the first [`SIDE`] lines, for `HALF` values of `i`.
///
/// # Safety
/// There are so many lines, and each holds these elements.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn elements<S: Simd>(
    _: S,
    lines: &[&[f32]],
    p: usize,
) -> [std::arch::x86_64::__m256; HALF] {
    use std::arch::x86_64::*;
    assert!(has_fast_squares::<S>());
    // SAFETY: an x86-64 ISA with eight lanes has AVX, and `_` proves that this CPU has the ISA; the
    // caller answers for the lines.
    unsafe {
        let mut rows = [_mm256_setzero_ps(); HALF];
        for i in 0..HALF {
            let low = _mm_loadu_ps(lines.get_unchecked(i).as_ptr().add(p));
            let high = _mm_loadu_ps(lines.get_unchecked(i + HALF).as_ptr().add(p));
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
