//! AVX2 with FMA and F16C, and on top of it AVX-VNNI.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use half::f16;

use super::products::{Products, Vnni, Words};
use super::{lowest, register_ops};
use crate::isa::simd::{Kernel, Simd, sealed::Sealed};

const LANES: usize = 8;

/// The proof that this CPU has AVX2, FMA and F16C, and some instructions that multiply bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Vectors256<P> {
    detected: PhantomData<P>,
}

/// The proof that this CPU has AVX2, FMA and F16C.
pub type Avx2 = Vectors256<Words>;

/// The proof that this CPU has AVX2, FMA, F16C and AVX-VNNI.
pub type AvxVnni = Vectors256<Vnni>;

impl Avx2 {
    /// The token, if this CPU has AVX2, FMA and F16C.
    pub fn detect() -> Option<Avx2> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Vectors256 { detected: PhantomData })
    }
}

impl AvxVnni {
    /// The token, if this CPU has AVX2, FMA, F16C and AVX-VNNI.
    pub fn detect() -> Option<AvxVnni> {
        let found = Avx2::detect().is_some() && is_x86_feature_detected!("avxvnni");
        found.then_some(Vectors256 { detected: PhantomData })
    }

    /// The instruction set that this one adds products to.
    pub(crate) fn without_products(self) -> Avx2 {
        Vectors256 { detected: PhantomData }
    }
}

impl<P> Sealed for Vectors256<P> {}

/// All bits set in the first `lanes` lanes.
#[inline(always)]
fn first_lanes(lanes: usize) -> __m256i {
    const ONES_THEN_ZEROS: [i32; 2 * LANES] =
        [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let ones = lanes.min(LANES);
    // SAFETY: 8 values are read from index `LANES - ones <= LANES` of 16; the caller holds a token.
    unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(LANES - ones).cast()) }
}

/// Folds the upper half onto the lower one until one lane is left.
macro_rules! fold {
    ($x:expr, $ps:ident, $ss:ident) => {{
        let x = $x;
        let x = $ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = $ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32($ss(x, _mm_movehdup_ps(x)))
    }};
}

impl<P: Products> Simd for Vectors256<P> {
    const LANES: usize = LANES;
    type F32 = __m256;
    type I32 = __m256i;
    type Mask = __m256;
    type Bytes = __m256i;
    const LEVEL_BYTES: usize = P::LEVEL_BYTES;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves that the CPU has these products.
        unsafe { P::call(self, kernel) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        // SAFETY: the slice holds `LANES` values.
        unsafe { self.load_ptr(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m256 {
        // SAFETY: masked lanes, which lie beyond the slice, are not accessed.
        unsafe { _mm256_maskload_ps(x.as_ptr(), first_lanes(x.len())) }
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32]) {
        // SAFETY: the slice holds `LANES` values.
        unsafe { self.store_ptr(v, out[..LANES].as_mut_ptr()) }
    }
    #[inline(always)]
    fn store_partial(self, v: __m256, out: &mut [f32]) {
        // A masked store of a whole vector takes AMD's CPUs several times as long.
        if out.len() >= LANES {
            return self.store(v, out);
        }
        // SAFETY: masked lanes, which lie beyond the slice, are not accessed.
        unsafe { _mm256_maskstore_ps(out.as_mut_ptr(), first_lanes(out.len()), v) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the caller promises `LANES` readable values.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, out: *mut f32) {
        // SAFETY: the caller promises `LANES` writable values.
        unsafe { _mm256_storeu_ps(out, v) }
    }

    #[inline(always)]
    fn shift_up(self, before: __m256, x: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has these instructions.
        unsafe {
            // The upper half of `before` and the lower half of `x`.
            let middle = _mm256_permute2f128_ps::<0x21>(before, x);
            let (middle, x) = (_mm256_castps_si256(middle), _mm256_castps_si256(x));
            _mm256_castsi256_ps(_mm256_alignr_epi8::<12>(x, middle))
        }
    }
    #[inline(always)]
    fn shift_down(self, x: __m256, after: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let middle = _mm256_permute2f128_ps::<0x21>(x, after);
            let (middle, x) = (_mm256_castps_si256(middle), _mm256_castps_si256(x));
            _mm256_castsi256_ps(_mm256_alignr_epi8::<4>(middle, x))
        }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m256 {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x[..LANES].as_ptr().cast())) }
    }

    register_ops! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn neg(x: __m256) -> __m256 = _mm256_xor_ps(x, _mm256_set1_ps(-0.0));
        fn abs(x: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        fn sqrt(x: __m256) -> __m256 = _mm256_sqrt_ps(x);
        fn round(x: __m256) -> __m256 =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);

        fn lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        fn le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        fn eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        fn select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);

        fn split_pairs(a: __m256, b: __m256) -> [__m256; 2] =
            [_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b)]
                .map(|x| _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(_mm256_castps_pd(x))));
        fn join_pairs(even: __m256, odd: __m256) -> [__m256; 2] = {
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        };

        fn sum(x: __m256) -> f32 = fold!(x, _mm_add_ps, _mm_add_ss);
        fn max_lane(x: __m256) -> f32 = fold!(x, _mm_max_ps, _mm_max_ss);
        fn min_lane(x: __m256) -> f32 = fold!(x, _mm_min_ps, _mm_min_ss);

        fn to_i32(x: __m256) -> __m256i = _mm256_cvtps_epi32(x);
        fn to_i32_trunc(x: __m256) -> __m256i = _mm256_cvttps_epi32(x);
        fn i32_to_f32(x: __m256i) -> __m256 = _mm256_cvtepi32_ps(x);
        fn to_bits(x: __m256) -> __m256i = _mm256_castps_si256(x);
        fn bits_to_f32(x: __m256i) -> __m256 = _mm256_castsi256_ps(x);

        fn splat_i32(x: i32) -> __m256i = _mm256_set1_epi32(x);
        fn add_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        fn sub_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        fn mul_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        fn min_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_min_epi32(a, b);
        fn max_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_max_epi32(a, b);
        fn and_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        fn or_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        fn shl(x: __m256i, n: u32) -> __m256i =
            _mm256_sllv_epi32(x, _mm256_set1_epi32(n.cast_signed()));
        fn shr(x: __m256i, n: u32) -> __m256i =
            _mm256_srav_epi32(x, _mm256_set1_epi32(n.cast_signed()));

        fn add_i16(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi16(a, b);
        fn sub_i16(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi16(a, b);
        fn dot(acc: __m256i, a: __m256i, w: __m256i) -> __m256i = P::dot(acc, a, w);
        fn dot_wide(acc: __m256i, a: __m256i, w: __m256i) -> __m256i = P::dot_wide(acc, a, w);
        fn dot_pair_rule(acc: __m256i, a: __m256i, w: __m256i) -> __m256i =
            P::dot_pair_rule(acc, a, w);
    }

    #[inline(always)]
    fn widen_quads(self, x: __m256i) -> [__m256i; 2] {
        // Each byte goes to the upper half of a number, whose shift then copies the sign.
        const PAIRS: [i32; 4] = [0x0100_0000, 0x0504_0404, 0x0908_0808, 0x0d0c_0c0c];
        // SAFETY: `self` proves that the CPU has these instructions.
        unsafe {
            let first = _mm256_broadcastsi128_si256(_mm_loadu_si128(PAIRS.as_ptr().cast()));
            let last = _mm256_add_epi8(first, _mm256_set1_epi8(2));
            [first, last].map(
                #[inline(always)]
                |places| _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(x, places)),
            )
        }
    }
    #[inline(always)]
    fn widen_u8(self, x: &[u8]) -> __m256i {
        // SAFETY: the slice holds 16 bytes, and `self` proves that the CPU has these instructions.
        unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(x[..2 * LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn bytes_to_i32(self, x: __m256i) -> __m256i {
        x
    }
    #[inline(always)]
    fn i32_to_bytes(self, x: __m256i) -> __m256i {
        x
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> __m256i {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm256_loadu_si256(x[..LANES].as_ptr().cast()) }
    }
    #[inline(always)]
    fn store_i32(self, v: __m256i, out: &mut [i32]) {
        // SAFETY: the slice holds `LANES` values.
        unsafe { _mm256_storeu_si256(out[..LANES].as_mut_ptr().cast(), v) }
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m256i {
        // SAFETY: the slice holds 8 bytes.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m256i {
        // SAFETY: the slice holds 8 bytes.
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_low_bytes(self, v: __m256i, out: &mut [u8]) {
        let out = out[..LANES].as_mut_ptr();
        // SAFETY: `out` points at 8 bytes.
        unsafe {
            let low = _mm256_and_si256(v, _mm256_set1_epi32(0xff));
            let words =
                _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
            _mm_storel_epi64(out.cast(), _mm_packus_epi16(words, words));
        }
    }
    #[inline(always)]
    fn store_low_bytes_of_four(self, v: [__m256i; 4], out: &mut [u8]) {
        let out = out[..4 * LANES].as_mut_ptr();
        // SAFETY: `out` points at 32 bytes, and `self` proves that the CPU has these instructions.
        unsafe {
            let mask = _mm256_set1_epi32(0xff);
            let [a, b, c, d] = v.map(
                #[inline(always)]
                |v| _mm256_and_si256(v, mask),
            );
            // Packing keeps to halves of 128 bits: groups of four bytes come out as 0, 2, 4, 6, 1, 3, 5, 7.
            let bytes = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            _mm256_storeu_si256(out.cast(), _mm256_permutevar8x32_epi32(bytes, order));
        }
    }

    #[inline(always)]
    fn store_lowest<const N: usize>(self, v: __m256i, out: &mut [u8]) {
        let out = out[..N * LANES + 16].as_mut_ptr();
        // SAFETY: twice 16 bytes from 0 and 4 lanes on end in `out`; `self` proves that the CPU has these instructions.
        unsafe {
            let order = _mm_loadu_si128(lowest::<N>().as_ptr().cast());
            let bytes = _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(order));
            _mm_storeu_si128(out.cast(), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128(out.add(4 * N).cast(), _mm256_extracti128_si256::<1>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const i8) -> __m256i {
        // SAFETY: the caller promises `4 * LANES` readable bytes.
        unsafe { _mm256_loadu_si256(x.cast()) }
    }
    #[inline(always)]
    unsafe fn load_bytes_partial(self, x: *const i8, lanes: usize) -> __m256i {
        // SAFETY: the caller promises `4 * lanes` readable bytes; the others are masked.
        unsafe { _mm256_maskload_epi32(x.cast(), first_lanes(lanes)) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, x: *const u8) -> __m256i {
        // SAFETY: the caller promises 4 readable bytes.
        unsafe { _mm256_set1_epi32(x.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: `self` proves that the CPU has these instructions.
        unsafe {
            let (ab_low, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
            [
                _mm256_unpacklo_epi16(ab_low, cd_low),
                _mm256_unpackhi_epi16(ab_low, cd_low),
                _mm256_unpacklo_epi16(ab_high, cd_high),
                _mm256_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }
    #[inline(always)]
    fn store_interleaved(self, [a, b, c, d]: [__m256i; 4], out: &mut [u8]) {
        // SAFETY: the slice holds `4 * LANES` bytes.
        unsafe {
            let (low, high) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            let bytes = _mm256_packus_epi16(low, high);
            _mm256_storeu_si256(out[..4 * LANES].as_mut_ptr().cast(), bytes);
        }
    }
}
