//! The exponential function.

use super::polynomial;
use crate::f32::Function;
use crate::isa::Simd;

/// e^x, at most 1.1 units in the last place from exact (2 on the portable ISA); infinite above
/// 88.73, 0 below -103.98.
#[derive(Debug, Clone, Copy)]
pub struct Exp;

impl Function for Exp {
    const COST: usize = 4;

    /// e^x = 2^n e^r with n the nearest integer to x / ln 2, so that |r| <= ln 2 / 2. The polynomial
    /// for e^r and the split of ln 2 are those of `expf` in Moshier's Cephes library.
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        // In this order, NaN is kept.
        let x = s.max(s.splat(-105.0), s.min(s.splat(90.0), x));
        let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
        let r = s.mul_add(n, s.splat(-LN_2_HIGH), x);
        let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
        let p = polynomial(
            s,
            r,
            [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1],
        );
        let p = s.add(s.mul_add(p, s.mul(r, r), r), s.splat(1.0));
        s.scale_by_power(p, n)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        self.value(s, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_ulps, check_value};

    #[test]
    fn is_exact_to_about_a_unit_in_the_last_place() {
        check_ulps(Exp, f64::exp, -87.0..88.7, 1.1, 2.0);
        check_ulps(Exp, f64::exp, -0.4..0.4, 1.1, 2.0);
    }

    #[test]
    fn has_the_right_limits() {
        for (x, expected) in [
            (0.0, 1.0),
            (-0.0, 1.0),
            (88.8, f32::INFINITY),
            (f32::INFINITY, f32::INFINITY),
            (-104.0, 0.0),
            (f32::NEG_INFINITY, 0.0),
            (-100.0, (-100.0_f64).exp() as f32),
            (f32::NAN, f32::NAN),
        ] {
            check_value(Exp, x, expected);
        }
    }
}
