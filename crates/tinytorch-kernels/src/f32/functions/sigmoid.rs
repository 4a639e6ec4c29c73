//! The logistic function, and the activations made of it.

use super::Exp;
use crate::f32::Function;
use crate::isa::Simd;

/// 1 / (1 + e^-x), at most 2.5 units in the last place from exact (3.5 on the portable ISA) above
/// -87; 0 below -88.73.
#[derive(Debug, Clone, Copy)]
pub struct Sigmoid;

impl Function for Sigmoid {
    const COST: usize = 6;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let one = s.splat(1.0);
        s.div(one, s.add(one, Exp.value(s, s.neg(x))))
    }

    /// y (1 - y).
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let y = self.value(s, x);
        s.mul(y, s.sub(s.splat(1.0), y))
    }
}

/// x sigmoid(beta x), within 4e-7 |x| of exact.
#[derive(Debug, Clone, Copy)]
pub struct Swish {
    /// The steepness.
    pub beta: f32,
}

impl Swish {
    /// SiLU: x sigmoid(x) (Elfwing et al., 2017).
    pub const SILU: Self = Self { beta: 1.0 };
    /// The approximation of GELU by x sigmoid(1.702 x) (Hendrycks and Gimpel, 2016).
    pub const GELU: Self = Self { beta: 1.702 };
}

impl Function for Swish {
    const COST: usize = 6;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.mul(x, Sigmoid.value(s, s.mul(x, s.splat(self.beta))))
    }

    /// y + beta x y (1 - y), with y = sigmoid(beta x).
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let steep = s.mul(x, s.splat(self.beta));
        let y = Sigmoid.value(s, steep);
        s.mul(y, s.mul_add(steep, s.sub(s.splat(1.0), y), s.splat(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_absolute, check_derivative, check_ulps, check_value};

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn sigmoid_is_exact_to_a_few_units_in_the_last_place() {
        check_ulps(Sigmoid, sigmoid, -87.0..20.0, 2.5, 3.5);
        check_derivative(Sigmoid, |x| sigmoid(x) * (1.0 - sigmoid(x)), -9.0..9.0, 2e-7);
        for (x, expected) in
            [(0.0, 0.5), (f32::INFINITY, 1.0), (f32::NEG_INFINITY, 0.0), (f32::NAN, f32::NAN)]
        {
            check_value(Sigmoid, x, expected);
        }
    }

    #[test]
    fn swish_is_x_times_sigmoid() {
        for swish in [Swish::SILU, Swish::GELU] {
            let beta = f64::from(swish.beta);
            check_absolute(swish, |x| x * sigmoid(beta * x), -9.0..9.0, 2e-6);
            let slope = |x: f64| {
                let y = sigmoid(beta * x);
                y + beta * x * y * (1.0 - y)
            };
            check_derivative(swish, slope, -9.0..9.0, 1e-6);
        }
    }
}
