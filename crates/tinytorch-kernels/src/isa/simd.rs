//! What a kernel may ask of an instruction set.

use half::f16;

use super::Eights;

/// A computation written once and compiled for every instruction set.
///
/// Mark `run`, and every function it calls with `S`, `#[inline(always)]`: only code inlined into
/// the dispatcher ([`Isa::run`](super::Isa::run)) is compiled with the ISA's instructions.
pub trait Kernel {
    /// What the kernel returns.
    type Output;

    /// Whether it sums products of bytes, or of 16 bits. Instruction sets that add nothing but those run other
    /// kernels as the set does that they add to, so that these are compiled once for both.
    const MULTIPLIES_BYTES: bool = false;

    /// Computes with the vector operations of `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

pub(super) mod sealed {
    /// Keeps [`Simd`](super::Simd) to this crate, whose `unsafe` code relies on its constants.
    pub trait Sealed {}
}

/// The vector operations of one instruction set; a zero-size value of a type that implements it
/// is the proof that they may run.
///
/// Operations without a suffix work on `f32`. Every one of them rounds as IEEE 754 says, so all
/// but [`mul_add`](Simd::mul_add) and [`sum`](Simd::sum) return the same bits on every ISA.
/// Slices are read and written from their first element; a method panics if its slice is shorter
/// than it says.
pub trait Simd: Eights + sealed::Sealed + Copy + Send + Sync + 'static {
    /// Values in a vector: 4 (scalar), 8 (AVX2) or 16 (AVX-512).
    const LANES: usize;

    /// `LANES` values of `f32`.
    type F32: Copy;
    /// `LANES` values of `i32`.
    type I32: Copy;
    /// `LANES` truth values.
    type Mask: Copy;
    /// `4 * LANES` bytes, signed or unsigned as the operation says.
    type Bytes: Copy;
    /// Bytes of an activation in the fastest exact dot product: 1, or 2 where that is
    /// [`dot_wide`](Simd::dot_wide), so that what is used often is widened before.
    const LEVEL_BYTES: usize;

    /// Runs `kernel` as a function of its own, compiled for this instruction set: for the inner
    /// parts of a kernel that are too large, or used too often, to be inlined.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Asks for the cache line of an address, which need not be one that may be read; does nothing where
    /// the CPU cannot be asked.
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        #[cfg(target_arch = "x86_64")]
        super::x86_64::prefetch(address);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// As [`Simd::prefetch`], into the L2 cache: for what comes after all that the L1 cache has to hold.
    #[inline(always)]
    fn prefetch_to_l2(self, address: *const f32) {
        #[cfg(target_arch = "x86_64")]
        super::x86_64::prefetch_to_l2(address);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// The first `LANES` values.
    fn load(self, x: &[f32]) -> Self::F32;
    /// As many values as `x` has, up to `LANES`; the other lanes are 0.
    fn load_partial(self, x: &[f32]) -> Self::F32;
    /// Writes `LANES` values.
    fn store(self, v: Self::F32, out: &mut [f32]);
    /// Writes as many values as `out` holds, up to `LANES`.
    fn store_partial(self, v: Self::F32, out: &mut [f32]);
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `x` is valid for reading `LANES` values; it need not be aligned to the vector.
    unsafe fn load_ptr(self, x: *const f32) -> Self::F32;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `out` is valid for writing `LANES` values; it need not be aligned to the vector.
    unsafe fn store_ptr(self, v: Self::F32, out: *mut f32);

    /// The first `LANES` half-precision values.
    fn load_f16(self, x: &[f16]) -> Self::F32;

    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the CPU can, twice on the scalar ISA: not for code that
    /// must return the same bits on every ISA.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `-x`: flips the sign bit.
    fn neg(self, x: Self::F32) -> Self::F32;
    /// `|x|`: clears the sign bit.
    fn abs(self, x: Self::F32) -> Self::F32;
    /// The square root.
    fn sqrt(self, x: Self::F32) -> Self::F32;
    /// The nearest integer, ties to even.
    fn round(self, x: Self::F32) -> Self::F32;

    /// `a < b`; false where either is NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`; false where either is NaN.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`; false where either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a` where the mask is true, `b` elsewhere.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    /// The last lane of `before`, then all of `x` but its last one.
    fn shift_up(self, before: Self::F32, x: Self::F32) -> Self::F32;
    /// All of `x` but its first lane, then the first one of `after`.
    fn shift_down(self, x: Self::F32, after: Self::F32) -> Self::F32;
    /// Of the values of `a`, then `b`: those at even places, and those at odd ones.
    fn split_pairs(self, a: Self::F32, b: Self::F32) -> [Self::F32; 2];
    /// The inverse of [`split_pairs`](Simd::split_pairs).
    fn join_pairs(self, even: Self::F32, odd: Self::F32) -> [Self::F32; 2];

    /// The sum of all lanes: the upper half is added to the lower one until one lane is left.
    fn sum(self, x: Self::F32) -> f32;
    /// The largest lane; some lane if one is NaN.
    fn max_lane(self, x: Self::F32) -> f32;
    /// The smallest lane; some lane if one is NaN.
    fn min_lane(self, x: Self::F32) -> f32;

    /// The nearest integers, ties to even. Lanes outside of `i32`, and NaN, are unspecified.
    fn to_i32(self, x: Self::F32) -> Self::I32;
    /// The integers toward zero. Lanes outside of `i32`, and NaN, are unspecified.
    fn to_i32_trunc(self, x: Self::F32) -> Self::I32;
    /// The nearest `f32`, ties to even.
    fn i32_to_f32(self, x: Self::I32) -> Self::F32;
    /// The bits of each lane.
    fn to_bits(self, x: Self::F32) -> Self::I32;
    /// The float with these bits, in each lane.
    fn bits_to_f32(self, x: Self::I32) -> Self::F32;

    /// `x` in every lane.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// The first `LANES` values.
    fn load_i32(self, x: &[i32]) -> Self::I32;
    /// Writes `LANES` values.
    fn store_i32(self, v: Self::I32, out: &mut [i32]);
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a * b`, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The smaller of each lane.
    fn min_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The larger of each lane.
    fn max_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a & b`.
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a | b`.
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `x << n` for `n < 32`.
    fn shl(self, x: Self::I32, n: u32) -> Self::I32;
    /// `x >> n` for `n < 32`, copying the sign.
    fn shr(self, x: Self::I32, n: u32) -> Self::I32;
    /// `x 2^n` for whole numbers from -253 to 254, where `x` is between 1/2 and 2, or NaN.
    #[inline(always)]
    fn scale_by_power(self, x: Self::F32, n: Self::F32) -> Self::F32 {
        let power = |n| self.bits_to_f32(self.shl(self.add_i32(n, self.splat_i32(127)), 23));
        // In two factors, since n = 128 and results below 2^-126 have no single one.
        let n = self.to_i32(n);
        let half = self.shr(n, 1);
        self.mul(self.mul(x, power(half)), power(self.sub_i32(n, half)))
    }

    /// The first `LANES` bytes, zero extended.
    fn load_u8(self, x: &[u8]) -> Self::I32;
    /// The first `LANES` bytes, sign extended.
    fn load_i8(self, x: &[i8]) -> Self::I32;
    /// Writes the low byte of each of the `LANES` lanes.
    fn store_low_bytes(self, v: Self::I32, out: &mut [u8]);
    /// The same for four vectors, one after the other.
    #[inline(always)]
    fn store_low_bytes_of_four(self, v: [Self::I32; 4], out: &mut [u8]) {
        for (i, v) in v.into_iter().enumerate() {
            self.store_low_bytes(v, &mut out[i * Self::LANES..]);
        }
    }

    /// Writes the lowest `N` bytes of each lane, one lane after the other; up to 16 bytes behind them may change.
    ///
    /// # Panics
    /// If `out` has less than `N * LANES + 16` bytes.
    #[inline(always)]
    fn store_lowest<const N: usize>(self, v: Self::I32, out: &mut [u8]) {
        let mut lanes = [0; 16];
        self.store_i32(v, &mut lanes);
        let out = &mut out[..N * Self::LANES + 16];
        for (out, lane) in out.chunks_exact_mut(N).zip(&lanes[..Self::LANES]) {
            out.copy_from_slice(&lane.to_le_bytes()[..N]);
        }
    }

    /// Reads `4 * LANES` bytes.
    ///
    /// # Safety
    /// `x` is valid for reading `4 * LANES` bytes.
    unsafe fn load_bytes(self, x: *const i8) -> Self::Bytes;
    /// Reads `4 * lanes` bytes; the others are 0.
    ///
    /// # Safety
    /// `x` is valid for reading `4 * lanes` bytes and `lanes <= LANES`.
    unsafe fn load_bytes_partial(self, x: *const i8, lanes: usize) -> Self::Bytes;
    /// The four bytes at `x` in every lane.
    ///
    /// # Safety
    /// `x` is valid for reading 4 bytes.
    unsafe fn splat_bytes(self, x: *const u8) -> Self::Bytes;
    /// Adds to each lane of `acc` the dot product of four unsigned bytes of `a` with four signed
    /// bytes of `w`, without saturating: right for every input.
    fn dot(self, acc: Self::I32, a: Self::Bytes, w: Self::Bytes) -> Self::I32;
    /// The same where no pair of adjacent products can leave `i16`, which
    /// [`pair_rule_holds`](crate::int8::pair_rule_holds) decides from the weights alone;
    /// saturates elsewhere on AVX2.
    #[inline(always)]
    fn dot_pair_rule(self, acc: Self::I32, a: Self::Bytes, w: Self::Bytes) -> Self::I32 {
        self.dot(acc, a, w)
    }
    /// Adds to each lane of `acc` the dot product of two signed numbers of 16 bits of `a` with two of `w`,
    /// wrapping.
    fn dot_wide(self, acc: Self::I32, a: Self::Bytes, w: Self::Bytes) -> Self::I32;
    /// Of the four signed bytes of each lane the first two, and the last two, as numbers of 16 bits.
    fn widen_quads(self, x: Self::Bytes) -> [Self::Bytes; 2];
    /// The first `2 * LANES` bytes, as numbers of 16 bits.
    fn widen_u8(self, x: &[u8]) -> Self::Bytes;
    /// `a + b` for numbers of 16 bits, wrapping.
    fn add_i16(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `a - b` for numbers of 16 bits, wrapping.
    fn sub_i16(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The bytes as lanes of `i32`: lane `i` holds bytes `4i..4i + 4`, lowest first.
    fn bytes_to_i32(self, x: Self::Bytes) -> Self::I32;
    /// The lanes as bytes: the inverse of [`bytes_to_i32`](Simd::bytes_to_i32).
    fn i32_to_bytes(self, x: Self::I32) -> Self::Bytes;

    /// Brings together the bytes that four vectors have at the same place, as four bytes of a lane.
    ///
    /// Each 16 bytes are interleaved on their own: lane `4 * p + i` of vector `j` of the result holds
    /// the bytes at `16 * p + 4 * j + i`.
    fn interleave(self, x: [Self::Bytes; 4]) -> [Self::Bytes; 4];
    /// Writes `4 * LANES` lanes, each the nearest number from 0 to 255, where
    /// [`interleave`](Simd::interleave) took the bytes of that lane from.
    fn store_interleaved(self, v: [Self::I32; 4], out: &mut [u8]);
}
