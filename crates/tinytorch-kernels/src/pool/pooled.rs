//! What can be pooled, and how many of it are compared at a time.

use crate::aligned::Number;
use crate::isa::Simd;
use crate::pairs::separate;

/// Values that are compared together where the compiler makes the vectors: a pixel of few channels.
const BLOCK: usize = 16;

/// What can be pooled: floats and levels.
pub trait Pooled: Number {
    /// A value that is larger than none.
    const LEAST: Self;

    /// The larger of two values; NaN counts as largest.
    fn larger(self, other: Self) -> Self;

    /// The larger of each two values of two rows.
    #[inline(always)]
    fn larger_of_rows<S: Simd>(_: S, [a, b]: [&[Self]; 2], out: &mut [Self]) {
        larger_each(out, a, b);
    }

    /// The largest of each three values of three rows.
    #[inline(always)]
    fn largest_of_rows<S: Simd>(s: S, [a, b, c]: [&[Self]; 3], out: &mut [Self]) {
        Self::larger_of_rows(s, [a, b], out);
        Self::raise(s, out, c);
    }

    /// Raises values to those of a row that are larger.
    #[inline(always)]
    fn raise<S: Simd>(_: S, values: &mut [Self], row: &[Self]) {
        let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
        let (others, row) = row.as_chunks::<BLOCK>();
        for (block, other) in blocks.iter_mut().zip(others) {
            *block = std::array::from_fn(|i| block[i].larger(other[i]));
        }
        for (value, other) in rest.iter_mut().zip(row) {
            *value = value.larger(*other);
        }
    }

    /// Copies the values at even places, and those at odd ones.
    #[inline(always)]
    fn separate<S: Simd>(_: S, row: &[Self], even: &mut [Self], odd: &mut [Self]) {
        for ((pair, even), odd) in row.chunks_exact(2).zip(even).zip(odd) {
            (*even, *odd) = (pair[0], pair[1]);
        }
    }

    /// The larger of each two neighbors.
    #[inline(always)]
    fn larger_of_pairs<S: Simd>(_: S, values: &[Self], out: &mut [Self]) {
        for (out, pair) in out.iter_mut().zip(values.chunks_exact(2)) {
            *out = pair[0].larger(pair[1]);
        }
    }
}

impl Pooled for u8 {
    const LEAST: u8 = 0;

    #[inline(always)]
    fn larger(self, other: u8) -> u8 {
        self.max(other)
    }
}

impl Pooled for f32 {
    const LEAST: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn larger(self, other: f32) -> f32 {
        if other > self || other.is_nan() { other } else { self }
    }

    #[inline(always)]
    fn larger_of_rows<S: Simd>(s: S, [a, b]: [&[f32]; 2], out: &mut [f32]) {
        let (Some(last), true) = (out.len().checked_sub(S::LANES), a.len() == b.len()) else {
            out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a.larger(*b));
            return;
        };
        // The last vector overlaps the one before where the row does not end with a whole one.
        let mut at = 0;
        while at < out.len() {
            let first = at.min(last);
            s.store(larger(s, s.load(&a[first..]), s.load(&b[first..])), &mut out[first..]);
            at = first + S::LANES;
        }
    }

    #[inline(always)]
    fn largest_of_rows<S: Simd>(s: S, [a, b, c]: [&[f32]; 3], out: &mut [f32]) {
        let (Some(last), true) = (out.len().checked_sub(S::LANES), a.len() == b.len()) else {
            let rows = a.iter().zip(b).zip(c);
            out.iter_mut().zip(rows).for_each(|(out, ((a, b), c))| *out = a.larger(*b).larger(*c));
            return;
        };
        let mut at = 0;
        while at < out.len() {
            let first = at.min(last);
            let two = larger(s, s.load(&a[first..]), s.load(&b[first..]));
            s.store(larger(s, two, s.load(&c[first..])), &mut out[first..]);
            at = first + S::LANES;
        }
    }

    #[inline(always)]
    fn raise<S: Simd>(s: S, values: &mut [f32], row: &[f32]) {
        let (Some(last), true) = (values.len().checked_sub(S::LANES), row.len() >= values.len())
        else {
            values.iter_mut().zip(row).for_each(|(value, other)| *value = value.larger(*other));
            return;
        };
        // What the last vector raises again stays as it is.
        let mut at = 0;
        while at < values.len() {
            let first = at.min(last);
            // The other way round the compiler stores under a mask, which the next row's load would wait for.
            let vector = larger(s, s.load(&row[first..]), s.load(&values[first..]));
            s.store(vector, &mut values[first..]);
            at = first + S::LANES;
        }
    }

    #[inline(always)]
    fn separate<S: Simd>(s: S, row: &[f32], even: &mut [f32], odd: &mut [f32]) {
        separate(s, row, even, odd);
    }

    #[inline(always)]
    fn larger_of_pairs<S: Simd>(s: S, values: &[f32], out: &mut [f32]) {
        let vectors = values.chunks_exact(2 * S::LANES).zip(out.chunks_exact_mut(S::LANES));
        let done = vectors.len() * S::LANES;
        for (values, out) in vectors {
            let [first, second] = s.split_pairs(s.load(values), s.load(&values[S::LANES..]));
            s.store(larger(s, first, second), out);
        }
        let rest = values[2 * done..].chunks_exact(2);
        for (out, pair) in out[done..].iter_mut().zip(rest) {
            *out = pair[0].larger(pair[1]);
        }
    }
}

/// The larger of each two lanes; NaN counts as largest.
#[inline(always)]
fn larger<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    // The maximum is `b` where either is NaN.
    s.select(s.eq(a, a), s.max(a, b), a)
}

/// The larger of each two values.
#[inline(always)]
pub(super) fn larger_each<T: Pooled>(out: &mut [T], a: &[T], b: &[T]) {
    let ((blocks, rest), (a_blocks, a), (b_blocks, b)) =
        (out.as_chunks_mut::<BLOCK>(), a.as_chunks::<BLOCK>(), b.as_chunks::<BLOCK>());
    for ((out, a), b) in blocks.iter_mut().zip(a_blocks).zip(b_blocks) {
        *out = std::array::from_fn(|i| a[i].larger(b[i]));
    }
    for ((out, a), b) in rest.iter_mut().zip(a).zip(b) {
        *out = a.larger(*b);
    }
}
