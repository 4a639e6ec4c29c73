//! Functions that are one instruction or two, and exact to the last place.

use crate::f32::{Function, PairFunction};
use crate::isa::Simd;

/// max(x, 0); NaN stays NaN. The derivative at 0 is 0.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl Function for Relu {
    const COST: usize = 1;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.max(s.splat(0.0), x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.select(s.lt(s.splat(0.0), x), s.splat(1.0), s.splat(0.0))
    }
}

/// -x.
#[derive(Debug, Clone, Copy)]
pub struct Neg;

impl Function for Neg {
    const COST: usize = 1;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.neg(x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::F32) -> S::F32 {
        s.splat(-1.0)
    }
}

/// |x|. The derivative at 0 is 0.
#[derive(Debug, Clone, Copy)]
pub struct Abs;

impl Function for Abs {
    const COST: usize = 1;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.abs(x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let zero = s.splat(0.0);
        let positive = s.select(s.lt(zero, x), s.splat(1.0), zero);
        s.select(s.lt(x, zero), s.splat(-1.0), positive)
    }
}

/// The square root.
#[derive(Debug, Clone, Copy)]
pub struct Sqrt;

impl Function for Sqrt {
    const COST: usize = 2;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.sqrt(x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.div(s.splat(0.5), s.sqrt(x))
    }
}

/// scale x + shift, rounded after each step.
#[derive(Debug, Clone, Copy)]
pub struct Affine {
    /// The factor.
    pub scale: f32,
    /// The summand.
    pub shift: f32,
}

impl Function for Affine {
    const COST: usize = 1;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.add(s.mul(x, s.splat(self.scale)), s.splat(self.shift))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::F32) -> S::F32 {
        s.splat(self.scale)
    }
}

/// Defines functions of pairs.
macro_rules! pair_functions {
    ($($(#[$doc:meta])* $name:ident: $method:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl PairFunction for $name {
            #[inline(always)]
            fn value<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
                s.$method(a, b)
            }
        }
    )* };
}
pair_functions! {
    /// a + b.
    Add: add;
    /// a - b.
    Sub: sub;
    /// a b.
    Mul: mul;
    /// a / b.
    Div: div;
    /// The larger one; b where either is NaN.
    Max: max;
    /// The smaller one; b where either is NaN.
    Min: min;
}

/// a + factor b, rounded after each step.
#[derive(Debug, Clone, Copy)]
pub struct AddScaled(
    /// The factor of b.
    pub f32,
);

impl PairFunction for AddScaled {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.add(a, s.mul(b, s.splat(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::f32::testing::{check_absolute, check_derivative};
    use crate::f32::{map, zip};

    #[test]
    fn values_and_derivatives() {
        check_absolute(Relu, |x| x.max(0.0), -5.0..5.0, 0.0);
        check_absolute(Abs, f64::abs, -5.0..5.0, 0.0);
        check_absolute(Neg, |x| -x, -5.0..5.0, 0.0);
        check_absolute(Sqrt, f64::sqrt, 0.0..9.0, 1.2e-7);
        let affine = Affine { scale: -2.0, shift: 0.5 };
        check_absolute(affine, |x| -2.0 * x + 0.5, -5.0..5.0, 1e-6);
        check_derivative(Relu, |x| if x > 0.0 { 1.0 } else { 0.0 }, -5.0..5.0, 0.0);
        check_derivative(Abs, f64::signum, -5.0..5.0, 0.0);
        check_derivative(Neg, |_| -1.0, -5.0..5.0, 0.0);
        check_derivative(Sqrt, |x| 0.5 / x.sqrt(), 0.1..9.0, 3e-7);
        check_derivative(affine, |_| -2.0, -5.0..5.0, 0.0);
    }

    #[test]
    fn nan_is_not_hidden_and_kinks_have_slope_zero() {
        for isa in Isa::available() {
            let mut out = [0.0; 2];
            map(isa, Relu, &[f32::NAN, -1.0], &mut out);
            assert!(out[0].is_nan() && out[1] == 0.0);
            crate::f32::map_backward(isa, Relu, &[0.0, 1.0], &[3.0, 3.0], &mut out);
            assert_eq!(out, [0.0, 3.0]);
            crate::f32::map_backward(isa, Abs, &[0.0, -1.0], &[3.0, 3.0], &mut out);
            assert_eq!(out, [0.0, -3.0]);
        }
    }

    #[test]
    fn pairs() {
        let (a, b) = ([1.0, -2.0, 3.0, 0.5, 7.0], [4.0, 4.0, -2.0, 0.25, 7.0]);
        #[track_caller]
        fn check(f: impl PairFunction, a: &[f32], b: &[f32], expected: impl Fn(f32, f32) -> f32) {
            let expected: Vec<f32> = a.iter().zip(b).map(|(a, b)| expected(*a, *b)).collect();
            for isa in Isa::available() {
                let mut out = vec![0.0; a.len()];
                zip(isa, f, a, b, &mut out);
                assert_eq!(out, expected);
            }
        }
        check(Add, &a, &b, |a, b| a + b);
        check(Sub, &a, &b, |a, b| a - b);
        check(Mul, &a, &b, |a, b| a * b);
        check(Div, &a, &b, |a, b| a / b);
        check(Max, &a, &b, f32::max);
        check(Min, &a, &b, f32::min);
        check(AddScaled(-0.5), &a, &b, |a, b| a + b * -0.5);
    }
}
