//! Scales and zero points: `x ~ (q - zero_point) * scale`.

use super::Int8Error;
use super::levels::Levels;

/// The smallest scale: its inverse, 2^127, is still finite.
const SMALLEST_SCALE: f32 = f32::MIN_POSITIVE / 2.0;

/// How a tensor or a row is stored as `u8`: `x ~ (q - zero_point) * scale`.
///
/// ```
/// use tinytorch_kernels::int8::QParams;
///
/// let params = QParams::from_range(-1.0, 3.0)?;
/// let q = params.quantize(0.5);
/// assert!((params.dequantize(q) - 0.5).abs() <= params.scale / 2.0);
/// assert_eq!(params.dequantize(params.zero_point), 0.0);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct QParams {
    /// The step between two levels: positive, finite, with a finite inverse.
    pub scale: f32,
    /// The level that stands for 0.
    pub zero_point: u8,
}

impl QParams {
    /// The parameters that spread the range over all 256 levels.
    ///
    /// The range is widened to include 0, which is then exact, and every value inside the range
    /// comes back within half a step. A range of `0..0` gets the scale 1.
    ///
    /// # Errors
    /// A bound is NaN or infinite, or reconstructing the ends would overflow.
    #[inline]
    pub fn from_range(min: f32, max: f32) -> Result<QParams, Int8Error> {
        for (index, value) in [min, max].into_iter().enumerate() {
            if !value.is_finite() {
                return Err(Int8Error::NotFinite { what: "the range", index, value });
            }
        }
        let (low, high) = (min.min(max).min(0.0), max.max(min).max(0.0));
        if low == high {
            return Ok(QParams { scale: 1.0, zero_point: 0 });
        }
        // In f64 neither the width nor the quotient can overflow.
        let width = f64::from(high) - f64::from(low);
        let scale = ((width / 255.0) as f32).max(SMALLEST_SCALE);
        let zero_point = (-f64::from(low) / f64::from(scale)).round_ties_even() as u8;
        let params = QParams { scale, zero_point };
        if params.dequantize(0).is_finite() && params.dequantize(255).is_finite() {
            Ok(params)
        } else {
            Err(Int8Error::TooWide { min, max })
        }
    }

    /// The level nearest to `x`, ties to even, within 0 to 255; NaN gives 0.
    #[inline]
    pub fn quantize(self, x: f32) -> u8 {
        self.levels().nearest(x)
    }

    /// The value that level `q` stands for.
    #[inline]
    pub fn dequantize(self, q: u8) -> f32 {
        (i32::from(q) - i32::from(self.zero_point)) as f32 * self.scale
    }

    /// The levels, ready to be rounded to.
    #[inline]
    pub(crate) fn levels(self) -> Levels {
        Levels::unsigned(self.scale, self.zero_point)
    }

    /// Refuses a scale that is not positive and finite or has no finite inverse.
    pub(crate) fn check(self, what: &'static str) -> Result<(), Int8Error> {
        if self.scale >= SMALLEST_SCALE && self.scale.is_finite() {
            Ok(())
        } else {
            Err(Int8Error::Scale { what, scale: self.scale })
        }
    }
}

/// The scale that maps `-max_abs..=max_abs` to `-127..=127`; 1 for 0.
///
/// # Errors
/// `max_abs` is NaN or infinite.
pub fn symmetric_scale(max_abs: f32) -> Result<f32, Int8Error> {
    scale_around_zero(max_abs, 127.0)
}

/// The scale that maps `-max_abs..=max_abs` to `-most..=most`; 1 for 0.
///
/// # Errors
/// `max_abs` is NaN or infinite.
pub(super) fn scale_around_zero(max_abs: f32, most: f32) -> Result<f32, Int8Error> {
    if !max_abs.is_finite() {
        return Err(Int8Error::NotFinite { what: "the largest value", index: 0, value: max_abs });
    }
    if max_abs == 0.0 {
        return Ok(1.0);
    }
    let scale = (max_abs.abs() / most).max(SMALLEST_SCALE);
    // The division may have rounded up so far that the last level overflows.
    Ok(if (most * scale).is_finite() { scale } else { scale.next_down() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Half a step, and what rounding the scale to f32 adds to it.
    fn tolerance(params: QParams) -> f64 {
        f64::from(params.scale) * (0.5 + 255.0 * f64::from(f32::EPSILON))
    }

    fn assert_within_half_a_step(params: QParams, x: f32) {
        let back = params.dequantize(params.quantize(x));
        let error = (f64::from(back) - f64::from(x)).abs();
        assert!(error <= tolerance(params), "{x} came back as {back} with {params:?}");
    }

    #[test]
    fn awkward_ranges_come_back_within_half_a_step() {
        let ranges = [
            (0.0, 0.0),
            (3.0, 3.0),
            (-3.0, -3.0),
            (10.0, 11.0),
            (-11.0, -10.0),
            (0.0, 1e-9),
            (-1e-9, 1e-9),
            (-1e30, 1e30),
            (0.0, 1e38),
            (0.0, 1e-40),
            (-1e-45, 0.0),
            (-1e-38, 1e-45),
            (-1e-3, 1e3),
        ];
        for (min, max) in ranges {
            let params = QParams::from_range(min, max).unwrap();
            assert!(params.check("scale").is_ok(), "{min}..{max}: {params:?}");
            assert_eq!(params.dequantize(params.quantize(0.0)), 0.0);
            for i in 0..=100 {
                let t = f64::from(i) / 100.0;
                let x = f64::from(min) * (1.0 - t) + f64::from(max) * t;
                assert_within_half_a_step(params, x as f32);
            }
        }
    }

    #[test]
    fn ranges_that_cannot_be_represented_are_errors() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(QParams::from_range(bad, 1.0), Err(Int8Error::NotFinite { .. })));
            assert!(matches!(QParams::from_range(0.0, bad), Err(Int8Error::NotFinite { .. })));
            assert!(symmetric_scale(bad).is_err());
        }
        let widest = QParams::from_range(f32::MIN, f32::MAX);
        assert!(matches!(widest, Err(Int8Error::TooWide { .. })));
    }

    proptest! {
        #[test]
        fn any_range_is_exact_to_half_a_step(
            a in -1e30f32..1e30, b in -1e30f32..1e30, exponent in -60i32..1, t in 0.0f32..1.0,
        ) {
            let (a, b) = (a * 10f32.powi(exponent), b * 10f32.powi(exponent));
            let params = QParams::from_range(a.min(b), a.max(b)).unwrap();
            assert_within_half_a_step(params, a);
            assert_within_half_a_step(params, b);
            assert_within_half_a_step(params, a * (1.0 - t) + b * t);
        }

        #[test]
        fn any_finite_bits_give_a_usable_scale(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            if x.is_finite() {
                let scale = symmetric_scale(x).unwrap();
                let params = QParams { scale, zero_point: 0 };
                prop_assert!(params.check("scale").is_ok());
                prop_assert!((127.0 * scale).is_finite());
                if let Ok(params) = QParams::from_range(0.0, x) {
                    prop_assert!(params.check("scale").is_ok());
                }
            }
        }
    }
}
