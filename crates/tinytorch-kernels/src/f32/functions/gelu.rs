//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016).

use super::{Erf, Exp, Sigmoid};
use crate::f32::Function;
use crate::isa::Simd;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// x Phi(x) = x / 2 (1 + erf(x / sqrt 2)), within 2e-7 |x| of exact.
#[derive(Debug, Clone, Copy)]
pub struct Gelu;

impl Gelu {
    /// Phi, the standard normal distribution.
    #[inline(always)]
    fn phi<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let erf = Erf.value(s, s.mul(x, s.splat(FRAC_1_SQRT_2)));
        s.mul_add(s.splat(0.5), erf, s.splat(0.5))
    }
}

impl Function for Gelu {
    const COST: usize = 8;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.mul(x, Self::phi(s, x))
    }

    /// Phi(x) + x phi(x), with phi(x) = e^(-x^2 / 2) / sqrt(2 pi).
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let bell = Exp.value(s, s.mul(s.mul(x, x), s.splat(-0.5)));
        let density = s.mul(bell, s.splat(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2));
        // 0 times infinity is 0 here: the bell falls faster than x grows.
        let bent = s.select(s.eq(bell, s.splat(0.0)), s.splat(0.0), s.mul(x, density));
        s.add(Self::phi(s, x), bent)
    }
}

/// x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), the approximation of GELU that GPT-2
/// uses, within 5e-7 |x| of exact.
#[derive(Debug, Clone, Copy)]
pub struct GeluTanh;

const CUBIC: f32 = 0.044715;
const SQRT_2_OVER_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;

impl Function for GeluTanh {
    const COST: usize = 8;

    /// (1 + tanh u) / 2 is sigmoid(2 u), which costs half as much.
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let u = s.mul(x, s.mul_add(s.mul(x, x), s.splat(CUBIC), s.splat(1.0)));
        s.mul(x, Sigmoid.value(s, s.mul(u, s.splat(2.0 * SQRT_2_OVER_PI))))
    }

    /// y + x y (1 - y) 2 u', with y = sigmoid(2 u).
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let square = s.mul(x, x);
        let u = s.mul(x, s.mul_add(square, s.splat(CUBIC), s.splat(1.0)));
        let y = Sigmoid.value(s, s.mul(u, s.splat(2.0 * SQRT_2_OVER_PI)));
        let slope = s.mul_add(square, s.splat(3.0 * CUBIC), s.splat(1.0));
        let slope = s.mul(slope, s.splat(2.0 * SQRT_2_OVER_PI));
        s.mul_add(s.mul(s.mul(x, slope), y), s.sub(s.splat(1.0), y), y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_absolute, check_derivative, check_value, exact_erf};
    use std::f64::consts::{PI, SQRT_2};

    #[test]
    fn gelu_is_x_times_the_normal_distribution() {
        let phi = |x: f64| 0.5 * (1.0 + exact_erf(x / SQRT_2));
        check_absolute(Gelu, |x| x * phi(x), -9.0..9.0, 1e-6);
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
        check_derivative(Gelu, |x| phi(x) + x * density(x), -9.0..9.0, 5e-7);
        for (x, expected) in [(0.0, 0.0), (100.0, 100.0), (-100.0, 0.0), (f32::NAN, f32::NAN)] {
            check_value(Gelu, x, expected);
        }
    }

    #[test]
    fn gelu_tanh_is_its_formula() {
        let u = |x: f64| (2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3));
        let y = |x: f64| 0.5 * (1.0 + u(x).tanh());
        check_absolute(GeluTanh, |x| x * y(x), -9.0..9.0, 2e-6);
        let slope = |x: f64| {
            let u_slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
            y(x) + 0.5 * x * (1.0 - u(x).tanh().powi(2)) * u_slope
        };
        check_derivative(GeluTanh, slope, -9.0..9.0, 2e-6);
    }
}
