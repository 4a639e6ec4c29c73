//! One query over the keys and values of many positions, held as f32 or int8.
//!
//! What is held lies entry by entry: entry `d` of all positions, then entry `d + 1`, each `stride`
//! values after the one before. So a vector instruction handles neighboring positions, however
//! narrow a head is, and a position is added without moving the others.
//!
//! ```
//! use tinytorch_kernels::{Isa, attention::{Held, mix, scores}};
//!
//! // Two entries of three positions, with room for a fourth.
//! let held = Held::F32 { values: &[1.0, 2.0, 3.0, 0.0, 10.0, 20.0, 30.0, 0.0], stride: 4 };
//! let mut x = [0.0; 3];
//! scores(Isa::active(), &[1.0, 0.5], held, &mut x);
//! assert_eq!(x, [6.0, 12.0, 18.0]);
//! let mut mixed = [0.0; 2];
//! mix(Isa::active(), &mut [0.5, 0.0, 0.5], held, &mut mixed);
//! assert_eq!(mixed, [2.0, 20.0]);
//! ```

use crate::Isa;
use crate::isa::{Kernel, Simd};

/// Vectors that positions are taken in at a time, to have as many sums that do not wait for each other.
const AT_A_TIME: usize = 4;

/// Keys or values of one head.
#[derive(Clone, Copy, Debug)]
pub enum Held<'a> {
    /// As they came.
    F32 {
        /// Entry by entry.
        values: &'a [f32],
        /// How far entries are apart.
        stride: usize,
    },
    /// Position `p` is `scales[p]` times its levels.
    Int8 {
        /// Entry by entry.
        levels: &'a [i8],
        /// How far entries are apart.
        stride: usize,
        /// Position by position.
        scales: &'a [f32],
    },
}

/// `out[p]` becomes the product of the query with the key of position `p`.
///
/// # Panics
/// If fewer entries or positions are held than the query and `out` have.
pub fn scores(isa: Isa, query: &[f32], keys: Held<'_>, out: &mut [f32]) {
    match keys {
        Held::F32 { values, stride } => {
            isa.run(Scores { query, keys: values, stride, scales: None, out });
        }
        Held::Int8 { levels, stride, scales } => {
            isa.run(Scores { query, keys: levels, stride, scales: Some(scales), out });
        }
    }
}

/// `out[d]` becomes entry `d` of the values of all positions, summed with these weights, which are
/// multiplied by the scales of int8 values on the way.
///
/// # Panics
/// If fewer entries or positions are held than `out` and the weights have.
pub fn mix(isa: Isa, weights: &mut [f32], values: Held<'_>, out: &mut [f32]) {
    match values {
        Held::F32 { values, stride } => isa.run(Mix { weights, values, stride, out }),
        Held::Int8 { levels, stride, scales } => {
            let scales = &scales[..weights.len()];
            weights.iter_mut().zip(scales).for_each(|(weight, scale)| *weight *= scale);
            isa.run(Mix { weights, values: levels, stride, out });
        }
    }
}

/// A number that is held.
trait Entry: Copy {
    /// `LANES` of them as floats.
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F32;
    /// Fewer than `LANES`; the other lanes are 0.
    fn load_partial<S: Simd>(s: S, x: &[Self]) -> S::F32;
}

impl Entry for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[f32]) -> S::F32 {
        s.load(x)
    }
    #[inline(always)]
    fn load_partial<S: Simd>(s: S, x: &[f32]) -> S::F32 {
        s.load_partial(x)
    }
}

impl Entry for i8 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[i8]) -> S::F32 {
        s.i32_to_f32(s.load_i8(x))
    }
    #[inline(always)]
    fn load_partial<S: Simd>(s: S, x: &[i8]) -> S::F32 {
        let mut lanes = [0; 16];
        lanes[..x.len()].copy_from_slice(x);
        Self::load(s, &lanes)
    }
}

struct Scores<'a, T> {
    query: &'a [f32],
    keys: &'a [T],
    stride: usize,
    scales: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl<T: Entry> Kernel for Scores<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (len, mut at) = (self.out.len(), 0);
        while at + AT_A_TIME * S::LANES <= len {
            self.vectors::<S, AT_A_TIME>(s, at);
            at += AT_A_TIME * S::LANES;
        }
        while at + S::LANES <= len {
            self.vectors::<S, 1>(s, at);
            at += S::LANES;
        }
        if at < len {
            let mut sum = s.splat(0.0);
            for (d, &q) in self.query.iter().enumerate() {
                let start = d * self.stride;
                let keys = T::load_partial(s, &self.keys[start + at..start + len]);
                sum = s.mul_add(s.splat(q), keys, sum);
            }
            if let Some(scales) = self.scales {
                sum = s.mul(sum, s.load_partial(&scales[at..len]));
            }
            s.store_partial(sum, &mut self.out[at..]);
        }
    }
}

impl<T: Entry> Scores<'_, T> {
    /// The scores of `N` vectors of positions from `at` on.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&mut self, s: S, at: usize) {
        let mut sums = [s.splat(0.0); N];
        for (d, &q) in self.query.iter().enumerate() {
            let keys = &self.keys[d * self.stride + at..][..N * S::LANES];
            let q = s.splat(q);
            for v in 0..N {
                sums[v] = s.mul_add(q, T::load(s, &keys[v * S::LANES..]), sums[v]);
            }
        }
        for v in 0..N {
            let at = at + v * S::LANES;
            if let Some(scales) = self.scales {
                sums[v] = s.mul(sums[v], s.load(&scales[at..]));
            }
            s.store(sums[v], &mut self.out[at..]);
        }
    }
}

struct Mix<'a, T> {
    weights: &'a [f32],
    values: &'a [T],
    stride: usize,
    out: &'a mut [f32],
}

impl<T: Entry> Kernel for Mix<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (len, mut d) = (self.out.len(), 0);
        while d + AT_A_TIME <= len {
            self.entries::<S, AT_A_TIME>(s, d);
            d += AT_A_TIME;
        }
        for d in d..len {
            self.entries::<S, 1>(s, d);
        }
    }
}

impl<T: Entry> Mix<'_, T> {
    /// The sums of `N` entries from `d` on.
    #[inline(always)]
    fn entries<S: Simd, const N: usize>(&mut self, s: S, d: usize) {
        let positions = self.weights.len();
        let rows: [&[T]; N] =
            std::array::from_fn(|i| &self.values[(d + i) * self.stride..][..positions]);
        let mut sums = [s.splat(0.0); N];
        let whole = positions / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            let weights = s.load(&self.weights[at..]);
            for i in 0..N {
                sums[i] = s.mul_add(weights, T::load(s, &rows[i][at..]), sums[i]);
            }
        }
        if whole < positions {
            let weights = s.load_partial(&self.weights[whole..]);
            for i in 0..N {
                sums[i] = s.mul_add(weights, T::load_partial(s, &rows[i][whole..]), sums[i]);
            }
        }
        for i in 0..N {
            self.out[d + i] = s.sum(sums[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are small integers, so that every order of adding gives the same sum.
    fn integers(len: usize, seed: usize) -> Vec<i8> {
        (0..len).map(|i| ((i * 37 + seed * 11) % 19) as i8 - 9).collect()
    }

    fn floats(integers: &[i8]) -> Vec<f32> {
        integers.iter().map(|&x| f32::from(x)).collect()
    }

    #[test]
    fn both_forms_give_the_sums_by_the_formula_on_every_isa_and_length() {
        for isa in Isa::available() {
            for dim in [1, 4, 7, 8] {
                for positions in [0, 1, 3, 4, 15, 16, 17, 63, 64, 65, 100] {
                    check(isa, dim, positions, positions + 5);
                    check(isa, dim, positions, positions);
                }
            }
        }
    }

    fn check(isa: Isa, dim: usize, positions: usize, stride: usize) {
        let levels = integers(dim * stride, 1);
        let values = floats(&levels);
        let query = floats(&integers(dim, 2));
        let weights = floats(&integers(positions, 3));
        let scales: Vec<f32> = (0..positions).map(|p| [0.5, 1.0, 2.0][p % 3]).collect();
        let by_hand = |p: usize| (0..dim).map(|d| query[d] * values[d * stride + p]).sum::<f32>();
        let mixed = |d: usize, scale: &dyn Fn(usize) -> f32| {
            let term = |p: usize| weights[p] * scale(p) * values[d * stride + p];
            (0..positions).map(term).sum::<f32>()
        };

        let f32 = Held::F32 { values: &values, stride };
        let int8 = Held::Int8 { levels: &levels, stride, scales: &scales };
        let run = |held| {
            let (mut x, mut y) = (vec![7.0; positions], vec![7.0; dim]);
            scores(isa, &query, held, &mut x);
            mix(isa, &mut weights.clone(), held, &mut y);
            (x, y)
        };
        let name = format!("{} {dim} x {positions}", isa.name());
        let want: Vec<f32> = (0..positions).map(by_hand).collect();
        let (x, y) = run(f32);
        assert_eq!(x, want, "{name}");
        assert_eq!(y, (0..dim).map(|d| mixed(d, &|_| 1.0)).collect::<Vec<_>>(), "{name}");
        let want: Vec<f32> = (0..positions).map(|p| by_hand(p) * scales[p]).collect();
        let (x, y) = run(int8);
        assert_eq!(x, want, "{name}");
        assert_eq!(y, (0..dim).map(|d| mixed(d, &|p| scales[p])).collect::<Vec<_>>(), "{name}");
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn more_positions_than_are_held_panic() {
        let held = Held::F32 { values: &[1.0; 8], stride: 4 };
        scores(Isa::Scalar, &[1.0, 1.0], held, &mut [0.0; 9]);
    }
}
