//! Activations of 16 bits for 8-bit products: a row becomes two rows of bytes, the high ones and the
//! low ones, whose products with a weight add up.
//!
//! With `x ~ (q - z) * scale` and `q = 256 h + l`, `z = 256 z_h + z_l`:
//! `x ~ (h - z_h) * 256 scale + (l - z_l) * scale`. Both rows have a scale and a zero point like any
//! other, so that everything that multiplies `u8` rows multiplies these.

use super::error::{check_length, checked_size};
use super::quantize::for_each_row;
use super::{Int8Error, QParams, min_max};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;

const LEVELS: f32 = 65_535.0;

/// Added to a float from 0 to 2^16, it leaves the nearest integer, ties to even, in the lowest bits.
const TO_INTEGER: f32 = (1 << 23) as f32;

/// How a row is stored in 16 bits.
#[derive(Copy, Clone)]
struct Wide {
    scale: f32,
    zero_point: u16,
}

impl Wide {
    /// The parameters that spread a row's range, widened to include 0, over all levels.
    fn of(isa: Isa, row: &[f32]) -> Result<Wide, Int8Error> {
        let (min, max) = min_max(isa, row)?;
        let (low, high) = (min.min(0.0), max.max(0.0));
        if low == high {
            return Ok(Wide { scale: 1.0, zero_point: 0 });
        }
        // In f64 neither the width nor the quotient can overflow.
        let width = f64::from(high) - f64::from(low);
        // The smallest scale whose inverse is finite.
        let scale = ((width / f64::from(LEVELS)) as f32).max(f32::MIN_POSITIVE / 2.0);
        if !(scale * LEVELS).is_finite() {
            return Err(Int8Error::TooWide { min, max });
        }
        let zero_point = (-f64::from(low) / f64::from(scale)).round_ties_even() as u16;
        Ok(Wide { scale, zero_point })
    }

    /// How the high and the low bytes are to be read.
    fn halves(self) -> [QParams; 2] {
        let [high, low] = self.zero_point.to_be_bytes();
        [
            QParams { scale: self.scale * 256.0, zero_point: high },
            QParams { scale: self.scale, zero_point: low },
        ]
    }
}

struct QuantizeWide<'a> {
    x: &'a [f32],
    wide: Wide,
    high: &'a mut [u8],
    low: &'a mut [u8],
}

impl Kernel for QuantizeWide<'_> {
    type Output = ();

    /// Plain arithmetic on one value after the other, which compilers turn into vectors; no operation
    /// depends on the instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (inverse, zero_point) = (1.0 / self.wide.scale, f32::from(self.wide.zero_point));
        for ((x, high), low) in self.x.iter().zip(self.high).zip(self.low) {
            let level = (x * inverse + zero_point).clamp(0.0, LEVELS);
            let bits = (level + TO_INTEGER).to_bits();
            *high = (bits >> 8) as u8;
            *low = bits as u8;
        }
    }
}

/// Quantizes each of the `m` rows of `k` values over its own range to 16 bits: `out` gets the high
/// bytes of all rows and then the low bytes, `2 m` rows in all, and `params` how each of them is read.
///
/// ```
/// use tinytorch_kernels::{Isa, int8::{QParams, quantize_rows_wide}};
///
/// let (mut q, mut params) = ([0; 4], [QParams { scale: 1.0, zero_point: 0 }; 2]);
/// quantize_rows_wide(Isa::active(), &[0.1, 1.0], 1, 2, &mut q, &mut params)?;
/// let value = |i: usize| params[0].dequantize(q[i]) + params[1].dequantize(q[2 + i]);
/// assert!((value(0) - 0.1).abs() < 1e-5);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match, or a row holds NaN, an infinity or a range that no scale covers; the
/// outputs are then unspecified.
pub fn quantize_rows_wide(
    isa: Isa,
    x: &[f32],
    m: usize,
    k: usize,
    out: &mut [u8],
    params: &mut [QParams],
) -> Result<(), Int8Error> {
    let size = checked_size("the input", &[m, k])?;
    check_length("the input", x.len(), size)?;
    check_length("the quantized output", out.len(), checked_size("the output", &[2, m, k])?)?;
    check_length("the row parameters", params.len(), checked_size("the rows", &[2, m])?)?;
    let (shared_out, shared_params) = (SharedOut::new(out), SharedOut::new(params));
    for_each_row(x, m, k, &|row, x| {
        let wide = Wide::of(isa, x)?;
        let [of_high, of_low] = wide.halves();
        // SAFETY: both halves of each row, and their parameters, belong to one thread.
        let (high, low) = unsafe {
            shared_params.at(row).write(of_high);
            shared_params.at(m + row).write(of_low);
            (shared_out.slice(row * k, k), shared_out.slice((m + row) * k, k))
        };
        isa.run(QuantizeWide { x, wide, high, low });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantized(isa: Isa, x: &[f32], m: usize) -> (Vec<u8>, Vec<QParams>) {
        let mut out = vec![0; 2 * x.len()];
        let mut params = vec![QParams { scale: 1.0, zero_point: 0 }; 2 * m];
        quantize_rows_wide(isa, x, m, x.len() / m, &mut out, &mut params).unwrap();
        (out, params)
    }

    proptest! {
        #[test]
        fn every_value_comes_back_within_a_step_on_every_instruction_set(
            values in prop::collection::vec(-1f32..1.0, 6..70), exponent in -30i32..30, shift in -2i32..3,
        ) {
            let k = values.len() / 2;
            let scale = 10f32.powi(exponent);
            let x: Vec<f32> =
                values[..2 * k].iter().map(|v| (v + shift as f32) * scale).collect();
            let (q, params) = quantized(Isa::active(), &x, 2);
            for isa in Isa::available() {
                prop_assert_eq!(&quantized(isa, &x, 2).0, &q);
            }
            for (i, &value) in x.iter().enumerate() {
                let row = i / k;
                let [high, low] = [(row, i), (2 + row, x.len() + i)]
                    .map(|(row, i)| f64::from(params[row].dequantize(q[i])));
                let (back, step) = (high + low, f64::from(params[2 + row].scale));
                // Half a step, and what rounding the product with the inverse adds.
                prop_assert!((back - f64::from(value)).abs() <= 0.52 * step, "{} {}", back, value);
            }
        }
    }

    #[test]
    fn zero_is_exact_and_constants_are_kept() {
        let (q, params) = quantized(Isa::active(), &[0.0, -3.0, 5.0, 0.0, 0.0, 0.0, 7.0, 7.0], 4);
        let value =
            |i: usize| params[i / 2].dequantize(q[i]) + params[4 + i / 2].dequantize(q[8 + i]);
        assert_eq!([value(0), value(3), value(4), value(5)], [0.0; 4]);
        assert!((value(6) - 7.0).abs() < 1e-6);
    }

    #[test]
    fn values_that_are_not_finite_are_named_with_their_place() {
        let mut out = [0; 8];
        let mut params = [QParams { scale: 1.0, zero_point: 0 }; 4];
        let x = [1.0, 2.0, 3.0, f32::NAN];
        let error = quantize_rows_wide(Isa::active(), &x, 2, 2, &mut out, &mut params).unwrap_err();
        assert!(matches!(error, Int8Error::NotFinite { index: 3, .. }), "{error}");
        let wide = [f32::MAX, -f32::MAX];
        assert!(
            quantize_rows_wide(Isa::active(), &wide, 1, 2, &mut out[..4], &mut params[..2])
                .is_err()
        );
        assert!(quantize_rows_wide(Isa::active(), &x, 2, 2, &mut out[..4], &mut params).is_err());
        // Twice as many rows as this, all of them empty, are none when counted in 64 bits.
        let rows = usize::MAX / 2 + 1;
        assert!(quantize_rows_wide(Isa::active(), &[], rows, 0, &mut [], &mut []).is_err());
    }
}
