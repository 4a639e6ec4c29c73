//! Eight floats at a time, whatever the width of a vector: transposing lines that lie apart.

/// Operations on eight floats, on AVX-512 in the lower halves of registers.
pub trait Eights: Copy {
    /// Whether [`transpose`](Eights::transpose) is faster than reading value by value.
    const FAST: bool;

    /// Eight values of `f32`.
    type Eight: Copy;

    /// `x` eight times.
    fn splat_eight(self, x: f32) -> Self::Eight;
    /// Reads eight values.
    ///
    /// # Safety
    /// `x` is valid for reading them.
    unsafe fn load_eight(self, x: *const f32) -> Self::Eight;
    /// Writes eight values.
    ///
    /// # Safety
    /// `out` is valid for writing them.
    unsafe fn store_eight(self, v: Self::Eight, out: *mut f32);
    /// `a * b + c`, rounded as [`Simd::mul_add`](super::Simd::mul_add) rounds.
    fn mul_add_eight(self, a: Self::Eight, b: Self::Eight, c: Self::Eight) -> Self::Eight;
    /// Element `p + i` of each of the first eight lines, for the first four values of `i`.
    ///
    /// # Safety
    /// There are eight lines, and each holds these elements.
    unsafe fn transpose(self, lines: &[&[f32]], p: usize) -> [Self::Eight; 4];
}
