//! AVX-512 with VNNI.

use std::arch::x86_64::*;

use half::f16;

use super::{lowest, register_ops};
use crate::isa::simd::{Kernel, Simd, sealed::Sealed};

const LANES: usize = 16;

/// The proof that this CPU has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Avx512Vnni {
    _detected: (),
}

impl Avx512Vnni {
    /// The token, if this CPU has AVX-512 F, BW, DQ, VL and VNNI.
    pub fn detect() -> Option<Avx512Vnni> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Avx512Vnni { _detected: () })
    }
}

impl Sealed for Avx512Vnni {}

/// Ones in the first `lanes` bits.
#[inline(always)]
fn first_lanes(lanes: usize) -> __mmask16 {
    ((1u32 << lanes.min(LANES)) - 1) as __mmask16
}

/// Folds the upper half onto the lower one until one lane is left.
macro_rules! fold {
    ($x:expr, $ps256:ident, $ps:ident, $ss:ident) => {{
        let x = $x;
        let x = $ps256(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
        let x = $ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = $ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32($ss(x, _mm_movehdup_ps(x)))
    }};
}

impl Simd for Avx512Vnni {
    const LANES: usize = LANES;
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;
    type Bytes = __m512i;
    const LEVEL_BYTES: usize = 1;

    #[inline]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn compiled_for_avx512<K: Kernel>(token: Avx512Vnni, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` proves that the CPU has the features.
        unsafe { compiled_for_avx512(self, kernel) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        // SAFETY: the slice holds `LANES` values.
        unsafe { self.load_ptr(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m512 {
        // SAFETY: masked lanes, which lie beyond the slice, are not accessed.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, out: &mut [f32]) {
        // SAFETY: the slice holds `LANES` values.
        unsafe { self.store_ptr(v, out[..LANES].as_mut_ptr()) }
    }
    #[inline(always)]
    fn store_partial(self, v: __m512, out: &mut [f32]) {
        // SAFETY: masked lanes, which lie beyond the slice, are not accessed.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), first_lanes(out.len()), v) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the caller promises `LANES` readable values.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, out: *mut f32) {
        // SAFETY: the caller promises `LANES` writable values.
        unsafe { _mm512_storeu_ps(out, v) }
    }

    #[inline(always)]
    fn shift_up(self, before: __m512, x: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe {
            let (before, x) = (_mm512_castps_si512(before), _mm512_castps_si512(x));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<15>(x, before))
        }
    }
    #[inline(always)]
    fn shift_down(self, x: __m512, after: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let (x, after) = (_mm512_castps_si512(x), _mm512_castps_si512(after));
            _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(after, x))
        }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m512 {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x[..LANES].as_ptr().cast())) }
    }

    register_ops! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn neg(x: __m512) -> __m512 = _mm512_xor_ps(x, _mm512_set1_ps(-0.0));
        fn abs(x: __m512) -> __m512 = _mm512_andnot_ps(_mm512_set1_ps(-0.0), x);
        fn sqrt(x: __m512) -> __m512 = _mm512_sqrt_ps(x);
        fn round(x: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);

        fn lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        fn eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        fn select(mask: __mmask16, a: __m512, b: __m512) -> __m512 =
            _mm512_mask_blend_ps(mask, b, a);

        fn split_pairs(a: __m512, b: __m512) -> [__m512; 2] = {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b)]
        };
        fn join_pairs(even: __m512, odd: __m512) -> [__m512; 2] = {
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
            [_mm512_permutex2var_ps(even, first, odd), _mm512_permutex2var_ps(even, second, odd)]
        };

        fn sum(x: __m512) -> f32 = fold!(x, _mm256_add_ps, _mm_add_ps, _mm_add_ss);
        fn max_lane(x: __m512) -> f32 = fold!(x, _mm256_max_ps, _mm_max_ps, _mm_max_ss);
        fn min_lane(x: __m512) -> f32 = fold!(x, _mm256_min_ps, _mm_min_ps, _mm_min_ss);

        fn to_i32(x: __m512) -> __m512i = _mm512_cvtps_epi32(x);
        fn to_i32_trunc(x: __m512) -> __m512i = _mm512_cvttps_epi32(x);
        fn i32_to_f32(x: __m512i) -> __m512 = _mm512_cvtepi32_ps(x);
        fn to_bits(x: __m512) -> __m512i = _mm512_castps_si512(x);
        fn bits_to_f32(x: __m512i) -> __m512 = _mm512_castsi512_ps(x);

        fn splat_i32(x: i32) -> __m512i = _mm512_set1_epi32(x);
        fn add_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn sub_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        fn mul_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        fn min_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epi32(a, b);
        fn max_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
        fn and_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        fn or_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        fn shl(x: __m512i, n: u32) -> __m512i =
            _mm512_sllv_epi32(x, _mm512_set1_epi32(n.cast_signed()));
        fn shr(x: __m512i, n: u32) -> __m512i =
            _mm512_srav_epi32(x, _mm512_set1_epi32(n.cast_signed()));
        fn scale_by_power(x: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(x, n);

        fn add_i16(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi16(a, b);
        fn sub_i16(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi16(a, b);
        fn dot(acc: __m512i, a: __m512i, w: __m512i) -> __m512i =
            _mm512_dpbusd_epi32(acc, a, w);
        fn dot_wide(acc: __m512i, a: __m512i, w: __m512i) -> __m512i =
            _mm512_dpwssd_epi32(acc, a, w);
    }

    #[inline(always)]
    fn widen_quads(self, x: __m512i) -> [__m512i; 2] {
        // Each byte goes to the upper half of a number, whose shift then copies the sign.
        const PAIRS: [i32; 4] = [0x0100_0000, 0x0504_0404, 0x0908_0808, 0x0d0c_0c0c];
        // SAFETY: `self` proves that the CPU has these instructions.
        unsafe {
            let first = _mm512_broadcast_i32x4(_mm_loadu_si128(PAIRS.as_ptr().cast()));
            let last = _mm512_add_epi8(first, _mm512_set1_epi8(2));
            [first, last].map(
                #[inline(always)]
                |places| _mm512_srai_epi16::<8>(_mm512_shuffle_epi8(x, places)),
            )
        }
    }
    #[inline(always)]
    fn widen_u8(self, x: &[u8]) -> __m512i {
        // SAFETY: the slice holds 32 bytes, and `self` proves that the CPU has these instructions.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(x[..2 * LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn bytes_to_i32(self, x: __m512i) -> __m512i {
        x
    }
    #[inline(always)]
    fn i32_to_bytes(self, x: __m512i) -> __m512i {
        x
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> __m512i {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm512_loadu_epi32(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn store_i32(self, v: __m512i, out: &mut [i32]) {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm512_storeu_epi32(out[..LANES].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m512i {
        // SAFETY: the slice holds 16 bytes.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m512i {
        // SAFETY: the slice holds 16 bytes.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_low_bytes(self, v: __m512i, out: &mut [u8]) {
        // SAFETY: the slice holds 16 bytes.
        unsafe { _mm_storeu_si128(out[..LANES].as_mut_ptr().cast(), _mm512_cvtepi32_epi8(v)) }
    }

    #[inline(always)]
    fn store_lowest<const N: usize>(self, v: __m512i, out: &mut [u8]) {
        let out = out[..N * LANES + 16].as_mut_ptr();
        // SAFETY: four times 16 bytes from 0, 4, 8 and 12 lanes on end in `out`; `self` proves that the CPU has these
        // instructions.
        unsafe {
            let order = _mm_loadu_si128(lowest::<N>().as_ptr().cast());
            let bytes = _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
            _mm_storeu_si128(out.cast(), _mm512_castsi512_si128(bytes));
            _mm_storeu_si128(out.add(4 * N).cast(), _mm512_extracti32x4_epi32::<1>(bytes));
            _mm_storeu_si128(out.add(8 * N).cast(), _mm512_extracti32x4_epi32::<2>(bytes));
            _mm_storeu_si128(out.add(12 * N).cast(), _mm512_extracti32x4_epi32::<3>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const i8) -> __m512i {
        // SAFETY: the caller promises `4 * LANES` readable bytes.
        unsafe { _mm512_loadu_epi8(x) }
    }
    #[inline(always)]
    unsafe fn load_bytes_partial(self, x: *const i8, lanes: usize) -> __m512i {
        // SAFETY: the caller promises `4 * lanes` readable bytes; the others are masked.
        unsafe { _mm512_maskz_loadu_epi32(first_lanes(lanes), x.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, x: *const u8) -> __m512i {
        // SAFETY: the caller promises 4 readable bytes.
        unsafe { _mm512_set1_epi32(x.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
        // SAFETY: `self` proves that the CPU has these instructions.
        unsafe {
            let (ab_low, ab_high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab_low, cd_low),
                _mm512_unpackhi_epi16(ab_low, cd_low),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }
    #[inline(always)]
    fn store_interleaved(self, [a, b, c, d]: [__m512i; 4], out: &mut [u8]) {
        // SAFETY: the slice holds `4 * LANES` bytes.
        unsafe {
            let (low, high) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
            let bytes = _mm512_packus_epi16(low, high);
            _mm512_storeu_si512(out[..4 * LANES].as_mut_ptr().cast(), bytes);
        }
    }
}
