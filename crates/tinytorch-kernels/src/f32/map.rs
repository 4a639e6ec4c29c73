//! Functions of each value of an array, and of pairs of values.

use super::split::in_pieces;
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::threads::MAP;

/// A function of one value, with its derivative.
pub trait Function: Copy + Send + Sync {
    /// How many additions it takes the time of, so that slow functions use threads sooner.
    const COST: usize;

    /// The values at the values of `x`.
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32;

    /// The derivatives at the values of `x`.
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32;

    /// The lowest and the highest value, if all that the function does is to move its argument between these.
    fn bounds(self) -> Option<[f32; 2]> {
        None
    }
}

/// A function of two values.
pub trait PairFunction: Copy + Send + Sync {
    /// The values at the pairs of values of `a` and `b`.
    fn value<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32;
}

/// `out[i] = f(x[i])`.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::{functions::Tanh, map};
///
/// let mut y = [0.0; 3];
/// map(Isa::active(), Tanh, &[-100.0, 0.0, 100.0], &mut y);
/// assert_eq!(y, [-1.0, 0.0, 1.0]);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn map<F: Function>(isa: Isa, f: F, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "input and output must have the same length");
    in_pieces((out, x), MAP.items(F::COST), &|(out, x)| {
        isa.run(Map { f, x: Some(x), out });
    });
}

/// `x[i] = f(x[i])`.
pub fn map_in_place<F: Function>(isa: Isa, f: F, x: &mut [f32]) {
    in_pieces(x, MAP.items(F::COST), &|out| isa.run(Map { f, x: None, out }));
}

/// `out[i] = grad[i] * f'(x[i])`: the gradient before a function from the one after it.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::{functions::Relu, map_backward};
///
/// let mut grad = [0.0; 2];
/// map_backward(Isa::active(), Relu, &[-1.0, 1.0], &[5.0, 7.0], &mut grad);
/// assert_eq!(grad, [0.0, 7.0]);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn map_backward<F: Function>(isa: Isa, f: F, x: &[f32], grad: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "input and output must have the same length");
    assert_eq!(grad.len(), out.len(), "gradient and output must have the same length");
    in_pieces((out, x, grad), MAP.items(F::COST), &|(out, x, grad)| {
        isa.run(Zip { f: Backward(f), a: Some(x), b: grad, out });
    });
}

/// `out[i] = f(a[i], b[i])`.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::{functions::Mul, zip};
///
/// let mut product = [0.0; 2];
/// zip(Isa::active(), Mul, &[2.0, 3.0], &[5.0, 7.0], &mut product);
/// assert_eq!(product, [10.0, 21.0]);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn zip<F: PairFunction>(isa: Isa, f: F, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert_eq!(a.len(), out.len(), "first input and output must have the same length");
    assert_eq!(b.len(), out.len(), "second input and output must have the same length");
    in_pieces((out, a, b), MAP.per_thread(), &|(out, a, b)| isa.run(Zip { f, a: Some(a), b, out }));
}

/// `a[i] = f(a[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn zip_in_place<F: PairFunction>(isa: Isa, f: F, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "both inputs must have the same length");
    in_pieces((a, b), MAP.per_thread(), &|(out, b)| isa.run(Zip { f, a: None, b, out }));
}

/// What [`map_backward`] does with a value and a gradient.
#[derive(Clone, Copy)]
struct Backward<F>(F);

impl<F: Function> PairFunction for Backward<F> {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32, grad: S::F32) -> S::F32 {
        s.mul(grad, self.0.derivative(s, x))
    }
}

struct Map<'a, F> {
    f: F,
    x: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map_values(s, self.f, self.x, self.out);
    }
}

/// `out[i] = f(x[i])`, where `x` is `out` itself if there is none.
#[inline(always)]
pub(super) fn map_values<S: Simd, F: Function>(s: S, f: F, x: Option<&[f32]>, out: &mut [f32]) {
    let len = out.len();
    let whole = len / S::LANES * S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        let values = s.load(&x.unwrap_or(out)[i..]);
        s.store(f.value(s, values), &mut out[i..]);
    }
    if whole < len {
        let values = s.load_partial(&x.unwrap_or(out)[whole..len]);
        s.store_partial(f.value(s, values), &mut out[whole..]);
    }
}

struct Zip<'a, F> {
    f: F,
    a: Option<&'a [f32]>,
    b: &'a [f32],
    out: &'a mut [f32],
}

impl<F: PairFunction> Kernel for Zip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        zip_values(s, self.f, self.a, self.b, self.out);
    }
}

/// `out[i] = f(a[i], b[i])`, where `a` is `out` itself if there is none.
#[inline(always)]
pub(super) fn zip_values<S: Simd, F: PairFunction>(
    s: S,
    f: F,
    a: Option<&[f32]>,
    b: &[f32],
    out: &mut [f32],
) {
    let len = out.len();
    let whole = len / S::LANES * S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        let values = s.load(&a.unwrap_or(out)[i..]);
        s.store(f.value(s, values, s.load(&b[i..])), &mut out[i..]);
    }
    if whole < len {
        let values = s.load_partial(&a.unwrap_or(out)[whole..len]);
        let others = s.load_partial(&b[whole..len]);
        s.store_partial(f.value(s, values, others), &mut out[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::functions::{Add, Relu, Sigmoid};

    #[test]
    fn any_length_in_place_or_not_on_any_threads_gives_the_same_bits() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for isa in Isa::available() {
            for len in [0, 1, 3, 4, 5, 8, 9, 15, 16, 17, 33, MAP.per_thread() * 3 + 1] {
                let x: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
                let single: Vec<f32> = x
                    .iter()
                    .map(|&x| {
                        let mut one = [x];
                        isa.run(Map { f: Sigmoid, x: None, out: &mut one });
                        one[0]
                    })
                    .collect();
                let (mut apart, mut in_place) = (vec![0.0; len], x.clone());
                pool.install(|| map(isa, Sigmoid, &x, &mut apart));
                map_in_place(isa, Sigmoid, &mut in_place);
                assert_eq!(apart, single);
                assert_eq!(in_place, single);

                let sum: Vec<f32> = x.iter().zip(&single).map(|(a, b)| a + b).collect();
                pool.install(|| zip(isa, Add, &x, &single, &mut apart));
                zip_in_place(isa, Add, &mut in_place, &x);
                assert_eq!(apart, sum);
                assert_eq!(in_place, sum);
            }
        }
    }

    #[test]
    #[should_panic(expected = "same length")]
    fn lengths_must_agree() {
        map(Isa::Scalar, Relu, &[1.0; 3], &mut [0.0; 2]);
    }
}
