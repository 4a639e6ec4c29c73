//! The error function.

use super::{Exp, polynomial};
use crate::f32::Function;
use crate::isa::Simd;

/// erf x, at most 1.2 units in the last place from exact (2.5 on the portable ISA).
#[derive(Debug, Clone, Copy)]
pub struct Erf;

impl Function for Erf {
    const COST: usize = 8;

    /// Up to 475/512, x plus x times a polynomial in x^2; beyond, 1 - e^p(|x|) with the sign of x. The
    /// polynomials are N. Juffa's, published on Stack Overflow (question 35148198).
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let magnitude = s.abs(x);
        let square = s.mul(x, x);
        let p = polynomial(
            s,
            // Beyond 4 the result is 1, but the polynomial would turn.
            s.min(s.splat(4.0), magnitude),
            [
                -1.728_534_7e-5,
                3.831_971_3e-4,
                -3.883_964_4e-3,
                2.425_462_2e-2,
                -1.067_778_8e-1,
                -6.348_467e-1,
                -1.287_175_1e-1,
                0.0,
            ],
        );
        let large = s.sub(s.splat(1.0), Exp.value(s, s.sub(p, magnitude)));
        let large = s.select(s.lt(x, s.splat(0.0)), s.neg(large), large);

        let p = polynomial(
            s,
            square,
            [
                -5.967_617e-4,
                4.991_194_2e-3,
                -2.676_813_5e-2,
                1.128_199_25e-1,
                -3.761_253_4e-1,
                1.283_791_7e-1,
            ],
        );
        let small = s.mul_add(p, x, x);
        s.select(s.lt(magnitude, s.splat(475.0 / 512.0)), small, large)
    }

    /// 2 / sqrt(pi) e^(-x^2).
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let bell = Exp.value(s, s.neg(s.mul(x, x)));
        s.mul(bell, s.splat(std::f32::consts::FRAC_2_SQRT_PI))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_derivative, check_ulps, check_value, exact_erf};
    use std::f64::consts::FRAC_2_SQRT_PI;

    #[test]
    fn is_exact_to_about_a_unit_in_the_last_place() {
        check_ulps(Erf, exact_erf, -5.0..5.0, 1.2, 2.5);
        check_ulps(Erf, exact_erf, -1.0..1.0, 1.2, 2.5);
        check_ulps(Erf, exact_erf, 1e-20..1e-10, 1.2, 2.5);
        check_derivative(Erf, |x| FRAC_2_SQRT_PI * (-x * x).exp(), -5.0..5.0, 3e-7);
    }

    #[test]
    fn has_the_right_limits() {
        for (x, expected) in [
            (0.0, 0.0),
            (9.0, 1.0),
            (-9.0, -1.0),
            (f32::INFINITY, 1.0),
            (f32::NEG_INFINITY, -1.0),
            (f32::NAN, f32::NAN),
        ] {
            check_value(Erf, x, expected);
        }
    }
}
