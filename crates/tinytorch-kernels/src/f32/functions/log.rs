//! The natural logarithm.

use super::polynomial;
use crate::f32::Function;
use crate::isa::Simd;

/// ln x, at most 1.1 units in the last place from exact (2 on the portable ISA); minus infinity at 0,
/// NaN below.
#[derive(Debug, Clone, Copy)]
pub struct Log;

impl Function for Log {
    const COST: usize = 6;

    /// ln x = e ln 2 + ln(1 + f), x = 2^e (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); the polynomial
    /// and the split of ln 2 are those of `logf` in Moshier's Cephes library.
    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        // Subnormal numbers have no exponent of their own.
        let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
        let scaled = s.select(tiny, s.mul(x, s.splat((1 << 23) as f32)), x);
        let bits = s.to_bits(scaled);
        // The exponent that leaves a fraction in [sqrt(1/2), sqrt(2)).
        let above =
            s.sub_i32(bits, s.splat_i32(std::f32::consts::FRAC_1_SQRT_2.to_bits().cast_signed()));
        let exponent = s.shr(above, 23);
        let f = s.sub(s.bits_to_f32(s.sub_i32(bits, s.shl(exponent, 23))), s.splat(1.0));
        let e = s.i32_to_f32(exponent);
        let e = s.select(tiny, s.sub(e, s.splat(23.0)), e);

        let square = s.mul(f, f);
        let p = polynomial(
            s,
            f,
            [
                7.037_683_6e-2,
                -1.151_461e-1,
                1.167_699_9e-1,
                -1.242_014_1e-1,
                1.424_932_3e-1,
                -1.666_805_8e-1,
                2.000_071_5e-1,
                -2.499_999_4e-1,
                3.333_333e-1,
            ],
        );
        let small = s.mul(s.mul(p, f), square);
        let small = s.mul_add(e, s.splat(LN_2_LOW), small);
        let small = s.mul_add(square, s.splat(-0.5), small);
        let ln = s.mul_add(e, s.splat(LN_2_HIGH), s.add(f, small));

        let infinity = s.splat(f32::INFINITY);
        // x itself where it is infinite or NaN.
        let ln = s.select(s.lt(x, infinity), ln, x);
        let ln = s.select(s.eq(x, s.splat(0.0)), s.neg(infinity), ln);
        s.select(s.lt(x, s.splat(0.0)), s.splat(f32::NAN), ln)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.div(s.splat(1.0), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::testing::{check_derivative, check_ulps, check_value};

    #[test]
    fn is_exact_to_about_a_unit_in_the_last_place() {
        check_ulps(Log, f64::ln, 1e-3..0.99, 1.1, 2.0);
        check_ulps(Log, f64::ln, 0.9..1.1, 1.1, 2.0);
        check_ulps(Log, f64::ln, 1.01..1e6, 1.1, 2.0);
        check_derivative(Log, |x| 1.0 / x, 0.5..9.0, 2e-7);
    }

    #[test]
    fn has_the_right_limits() {
        for (x, expected) in [
            (1.0, 0.0),
            (0.0, f32::NEG_INFINITY),
            (-0.0, f32::NEG_INFINITY),
            (f32::INFINITY, f32::INFINITY),
            (-1.0, f32::NAN),
            (f32::NEG_INFINITY, f32::NAN),
            (f32::NAN, f32::NAN),
            (1e-40, f64::from(1e-40_f32).ln() as f32),
            (f32::MAX, f64::from(f32::MAX).ln() as f32),
        ] {
            check_value(Log, x, expected);
        }
    }
}
