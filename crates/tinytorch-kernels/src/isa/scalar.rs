//! Portable Rust: what every other instruction set is tested against.

use half::f16;

use super::eights::Eights;
use super::simd::{Kernel, Simd, sealed::Sealed};

/// Lanes of the portable vectors: what the SSE2 and NEON baselines hold in a register, so that
/// the compiler can keep one there.
pub(super) const LANES: usize = 4;

/// The portable instruction set, available everywhere, over an implementation of its dot product.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Portable<D>(pub(super) D);

/// The portable instruction set that computes what [`Simd`] says.
pub type Scalar = Portable<ExactDot>;

/// An implementation of [`Simd::dot`], and of what else an instruction set does with integers before it adds them up.
pub trait Dot: Copy + Send + Sync + 'static {
    /// Adds to each lane of `acc` the products of its four bytes, unsigned in `a`, signed in `w`.
    fn dot(self, acc: [i32; LANES], a: [u8; 4 * LANES], w: [u8; 4 * LANES]) -> [i32; LANES];

    /// Adds to each lane of `acc` the products of its two numbers of 16 bits.
    #[inline(always)]
    fn dot_wide(self, acc: [i32; LANES], a: [i16; 2 * LANES], w: [i16; 2 * LANES]) -> [i32; LANES] {
        let product = |i: usize| i32::from(a[i]).wrapping_mul(i32::from(w[i]));
        std::array::from_fn(|i| {
            acc[i].wrapping_add(product(2 * i)).wrapping_add(product(2 * i + 1))
        })
    }

    /// What becomes of a sum or a difference of numbers of 16 bits.
    #[inline(always)]
    fn keep(self, sum: i16) -> i16 {
        sum
    }
}

/// The sum of the four products, as it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ExactDot;

impl Dot for ExactDot {
    #[inline(always)]
    fn dot(self, acc: [i32; LANES], a: [u8; 4 * LANES], w: [u8; 4 * LANES]) -> [i32; LANES] {
        let product = |i: usize| i32::from(a[i]) * i32::from(w[i].cast_signed());
        std::array::from_fn(|lane| {
            let i = 4 * lane;
            let dot = product(i) + product(i + 1) + product(i + 2) + product(i + 3);
            acc[lane].wrapping_add(dot)
        })
    }
}

impl<D> Sealed for Portable<D> {}

#[inline(always)]
fn zip<A: Copy, B: Copy, R>(a: [A; LANES], b: [B; LANES], f: impl Fn(A, B) -> R) -> [R; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// The bytes as numbers of 16 bits.
#[inline(always)]
fn words(x: [u8; 4 * LANES]) -> [i16; 2 * LANES] {
    std::array::from_fn(|i| i16::from_le_bytes([x[2 * i], x[2 * i + 1]]))
}

/// `f` of numbers of 16 bits.
#[inline(always)]
fn zip_i16(a: [u8; 4 * LANES], b: [u8; 4 * LANES], f: impl Fn(i16, i16) -> i16) -> [u8; 4 * LANES] {
    let (a, b) = (words(a), words(b));
    std::array::from_fn(|i| f(a[i / 2], b[i / 2]).to_le_bytes()[i % 2])
}

#[inline(always)]
fn fold(x: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    f(f(x[0], x[2]), f(x[1], x[3]))
}

impl<D: Dot> Eights for Portable<D> {
    const FAST: bool = false;
    type Eight = [f32; 8];

    #[inline(always)]
    fn splat_eight(self, x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load_eight(self, x: *const f32) -> [f32; 8] {
        // SAFETY: the caller promises eight readable values.
        unsafe { x.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_eight(self, v: [f32; 8], out: *mut f32) {
        // SAFETY: the caller promises eight writable values.
        unsafe { out.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn mul_add_eight(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn transpose(self, lines: &[&[f32]], p: usize) -> [[f32; 8]; 4] {
        std::array::from_fn(|i| std::array::from_fn(|line| lines[line][p + i]))
    }
}

impl<D: Dot> Simd for Portable<D> {
    const LANES: usize = LANES;
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];
    type Bytes = [u8; 4 * LANES];
    const LEVEL_BYTES: usize = 1;

    #[inline]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::F32 {
        std::array::from_fn(|i| x[..LANES][i])
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Self::F32 {
        std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0))
    }
    #[inline(always)]
    fn store(self, v: Self::F32, out: &mut [f32]) {
        out[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn store_partial(self, v: Self::F32, out: &mut [f32]) {
        for (out, v) in out.iter_mut().zip(v) {
            *out = v;
        }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> Self::F32 {
        // SAFETY: the caller promises `LANES` readable values.
        unsafe { x.cast::<Self::F32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::F32, out: *mut f32) {
        // SAFETY: the caller promises `LANES` writable values.
        unsafe { out.cast::<Self::F32>().write_unaligned(v) }
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> Self::F32 {
        std::array::from_fn(|i| x[..LANES][i].to_f32())
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn neg(self, x: Self::F32) -> Self::F32 {
        x.map(|x| -x)
    }
    #[inline(always)]
    fn abs(self, x: Self::F32) -> Self::F32 {
        x.map(f32::abs)
    }
    #[inline(always)]
    fn sqrt(self, x: Self::F32) -> Self::F32 {
        x.map(f32::sqrt)
    }
    #[inline(always)]
    fn round(self, x: Self::F32) -> Self::F32 {
        x.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        zip(a, b, |a, b| a < b)
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        zip(a, b, |a, b| a <= b)
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        zip(a, b, |a, b| a == b)
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn shift_up(self, before: Self::F32, x: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| if i == 0 { before[LANES - 1] } else { x[i - 1] })
    }
    #[inline(always)]
    fn shift_down(self, x: Self::F32, after: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| if i + 1 < LANES { x[i + 1] } else { after[0] })
    }
    #[inline(always)]
    fn split_pairs(self, a: Self::F32, b: Self::F32) -> [Self::F32; 2] {
        [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]]
    }
    #[inline(always)]
    fn join_pairs(self, even: Self::F32, odd: Self::F32) -> [Self::F32; 2] {
        [[even[0], odd[0], even[1], odd[1]], [even[2], odd[2], even[3], odd[3]]]
    }

    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        fold(x, |a, b| a + b)
    }
    #[inline(always)]
    fn max_lane(self, x: Self::F32) -> f32 {
        fold(x, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min_lane(self, x: Self::F32) -> f32 {
        fold(x, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn to_i32(self, x: Self::F32) -> Self::I32 {
        x.map(|x| x.round_ties_even() as i32)
    }
    #[inline(always)]
    fn to_i32_trunc(self, x: Self::F32) -> Self::I32 {
        x.map(|x| x as i32)
    }
    #[inline(always)]
    fn i32_to_f32(self, x: Self::I32) -> Self::F32 {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    fn to_bits(self, x: Self::F32) -> Self::I32 {
        x.map(|x| x.to_bits().cast_signed())
    }
    #[inline(always)]
    fn bits_to_f32(self, x: Self::I32) -> Self::F32 {
        x.map(|x| f32::from_bits(x.cast_unsigned()))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [x; LANES]
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> Self::I32 {
        std::array::from_fn(|i| x[..LANES][i])
    }
    #[inline(always)]
    fn store_i32(self, v: Self::I32, out: &mut [i32]) {
        out[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, i32::wrapping_sub)
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, i32::wrapping_mul)
    }
    #[inline(always)]
    fn min_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, i32::min)
    }
    #[inline(always)]
    fn max_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, i32::max)
    }
    #[inline(always)]
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn shl(self, x: Self::I32, n: u32) -> Self::I32 {
        x.map(|x| x << n)
    }
    #[inline(always)]
    fn shr(self, x: Self::I32, n: u32) -> Self::I32 {
        x.map(|x| x >> n)
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> Self::I32 {
        std::array::from_fn(|i| i32::from(x[..LANES][i]))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> Self::I32 {
        std::array::from_fn(|i| i32::from(x[..LANES][i]))
    }
    #[inline(always)]
    fn store_low_bytes(self, v: Self::I32, out: &mut [u8]) {
        out[..LANES].copy_from_slice(&v.map(|v| v as u8));
    }

    #[inline(always)]
    unsafe fn load_bytes(self, x: *const i8) -> Self::Bytes {
        // SAFETY: the caller promises `4 * LANES` readable bytes.
        unsafe { x.cast::<Self::Bytes>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_bytes_partial(self, x: *const i8, lanes: usize) -> Self::Bytes {
        let mut bytes = [0; 4 * LANES];
        // SAFETY: the caller promises `4 * lanes` readable bytes, and `lanes <= LANES`.
        unsafe { std::ptr::copy_nonoverlapping(x.cast(), bytes.as_mut_ptr(), 4 * lanes) };
        bytes
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, x: *const u8) -> Self::Bytes {
        // SAFETY: the caller promises 4 readable bytes.
        let quad = unsafe { x.cast::<[u8; 4]>().read_unaligned() };
        std::array::from_fn(|i| quad[i % 4])
    }
    #[inline(always)]
    fn dot(self, acc: Self::I32, a: Self::Bytes, w: Self::Bytes) -> Self::I32 {
        self.0.dot(acc, a, w)
    }
    #[inline(always)]
    fn dot_wide(self, acc: Self::I32, a: Self::Bytes, w: Self::Bytes) -> Self::I32 {
        self.0.dot_wide(acc, words(a), words(w))
    }
    #[inline(always)]
    fn widen_quads(self, x: Self::Bytes) -> [Self::Bytes; 2] {
        let wide = |i: usize| i16::from(x[i].cast_signed()).to_le_bytes();
        [0, 2].map(|first| std::array::from_fn(|i| wide(i / 4 * 4 + first + i % 4 / 2)[i % 2]))
    }
    #[inline(always)]
    fn widen_u8(self, x: &[u8]) -> Self::Bytes {
        let x = &x[..2 * LANES];
        std::array::from_fn(|i| u16::from(x[i / 2]).to_le_bytes()[i % 2])
    }
    #[inline(always)]
    fn add_i16(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        zip_i16(a, b, |a, b| self.0.keep(a.wrapping_add(b)))
    }
    #[inline(always)]
    fn sub_i16(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        zip_i16(a, b, |a, b| self.0.keep(a.wrapping_sub(b)))
    }
    #[inline(always)]
    fn bytes_to_i32(self, x: Self::Bytes) -> Self::I32 {
        std::array::from_fn(|i| {
            i32::from_le_bytes([x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]])
        })
    }
    #[inline(always)]
    fn i32_to_bytes(self, x: Self::I32) -> Self::Bytes {
        std::array::from_fn(|i| x[i / 4].to_le_bytes()[i % 4])
    }

    #[inline(always)]
    fn interleave(self, x: [Self::Bytes; 4]) -> [Self::Bytes; 4] {
        std::array::from_fn(|j| std::array::from_fn(|i| x[i % 4][4 * j + i / 4]))
    }
    #[inline(always)]
    fn store_interleaved(self, v: [Self::I32; 4], out: &mut [u8]) {
        for (i, out) in out[..4 * LANES].iter_mut().enumerate() {
            *out = v[i / LANES][i % LANES].clamp(0, 255) as u8;
        }
    }
}
