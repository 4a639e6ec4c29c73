//! The hyperbolic tangent.

use super::{Exp, polynomial};
use crate::f32::Function;
use crate::isa::Simd;

/// tanh x, at most 2 units in the last place from exact (3 on the portable ISA).
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

impl Function for Tanh {
    const COST: usize = 8;

    /// 1 - 2 / (e^2|x| + 1) with the sign of x; below 0.625, where that cancels, the polynomial of
    /// `tanhf` in Moshier's Cephes library.
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let magnitude = s.abs(x);
        let one = s.splat(1.0);
        let growth = Exp.value(s, s.add(magnitude, magnitude));
        let large = s.sub(one, s.div(s.splat(2.0), s.add(growth, one)));
        let large = s.select(s.lt(x, s.splat(0.0)), s.neg(large), large);

        let square = s.mul(x, x);
        let p = polynomial(
            s,
            square,
            [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1],
        );
        let small = s.mul_add(s.mul(p, square), x, x);
        s.select(s.lt(magnitude, s.splat(0.625)), small, large)
    }

    /// 1 - tanh^2 x.
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let y = self.value(s, x);
        s.mul(s.sub(s.splat(1.0), y), s.add(s.splat(1.0), y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_derivative, check_ulps, check_value};

    #[test]
    fn is_exact_to_two_units_in_the_last_place() {
        check_ulps(Tanh, f64::tanh, -9.5..9.5, 2.0, 3.0);
        check_ulps(Tanh, f64::tanh, -0.7..0.7, 2.0, 3.0);
        check_ulps(Tanh, f64::tanh, 1e-20..1e-10, 2.0, 3.0);
        check_derivative(Tanh, |x| 1.0 - x.tanh().powi(2), -9.0..9.0, 3e-7);
    }

    #[test]
    fn has_the_right_limits() {
        for (x, expected) in [
            (0.0, 0.0),
            (20.0, 1.0),
            (-20.0, -1.0),
            (f32::INFINITY, 1.0),
            (f32::NEG_INFINITY, -1.0),
            (f32::NAN, f32::NAN),
        ] {
            check_value(Tanh, x, expected);
        }
    }
}
