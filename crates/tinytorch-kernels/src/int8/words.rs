//! Activations of 16 bits for 8-bit weights.
//!
//! Levels lie around 0, which is one of them: a product then has no zero point to take off. For values of one
//! sign that costs one of 16 bits, and a step is still a 32,767th of the largest value.

use super::error::{check_length, checked_size};
use super::params::scale_around_zero;
use super::quantize::{Extremes, finite_range, for_each_row};
use super::{Int8Error, QParams};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::threads::QUANTIZE;

/// Products of a 16-bit activation and a weight that are summed in integers: no activation is -2^15, so that
/// as many of up to (2^15 - 1) 2^7 fit 32 bits.
pub const MOST_WORDS: usize = 512;

/// Bytes of a level.
const BYTES: usize = 2;

/// The highest level; the lowest is as far from 0.
const MOST: f32 = i16::MAX as f32;

/// Added to a float of at most 2^16, it leaves the nearest integer, ties to even, in the lowest bits.
const TO_INTEGER: f32 = (3 << 22) as f32;

/// Quantizes a row as far as its largest value.
struct QuantizeRow<'a> {
    x: &'a [f32],
    out: &'a mut [u8],
}

impl Kernel for QuantizeRow<'_> {
    type Output = Result<QParams, Int8Error>;

    /// Plain arithmetic on one value after the other, which compilers turn into vectors; no operation
    /// depends on the instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<QParams, Int8Error> {
        let (min, max) = finite_range(self.x, Extremes(self.x).run(s))?;
        let scale = scale_around_zero(max.max(-min), MOST)?;
        let inverse = 1.0 / scale;
        for (x, out) in self.x.iter().zip(self.out.as_chunks_mut::<BYTES>().0) {
            *out = level(*x, inverse).to_ne_bytes();
        }
        Ok(QParams { scale, zero_point: 0 })
    }
}

/// The level of a value, whose bits are those of a signed number.
#[inline(always)]
fn level(x: f32, inverse: f32) -> u16 {
    ((x * inverse).clamp(-MOST, MOST) + TO_INTEGER).to_bits() as u16
}

/// Finds the step of an image.
struct Step<'a>(&'a [f32]);

impl Kernel for Step<'_> {
    type Output = Result<QParams, Int8Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<QParams, Int8Error> {
        let (min, max) = finite_range(self.0, Extremes(self.0).run(s))?;
        Ok(QParams { scale: scale_around_zero(max.max(-min), MOST)?, zero_point: 0 })
    }
}

/// Pixels that are quantized channel by channel before they are written.
const PIXELS: usize = 64;

/// Channels that are written together.
const TOGETHER: usize = 4;

/// One row of pixels: the channels of `x` lie `plane` values apart.
struct PixelRow<'a> {
    x: &'a [f32],
    plane: usize,
    channels: usize,
    inverse: f32,
    out: &'a mut [u8],
}

impl Kernel for PixelRow<'_> {
    type Output = ();

    /// Plain arithmetic, as that of a [`QuantizeRow`].
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let pixels = self.out.chunks_mut(BYTES * self.channels * PIXELS).enumerate();
        for (first, out) in pixels {
            let count = out.len() / (BYTES * self.channels);
            for channel in (0..self.channels).step_by(TOGETHER) {
                let together = TOGETHER.min(self.channels - channel);
                let mut levels = [[0u16; PIXELS]; TOGETHER];
                for (i, levels) in levels[..together].iter_mut().enumerate() {
                    let x = &self.x[(channel + i) * self.plane + first * PIXELS..][..count];
                    for (level_of, x) in levels.iter_mut().zip(x) {
                        *level_of = level(*x, self.inverse);
                    }
                }
                for (pixel, out) in out.chunks_exact_mut(BYTES * self.channels).enumerate() {
                    let out = &mut out[BYTES * channel..][..BYTES * together];
                    for (levels, out) in levels.iter().zip(out.as_chunks_mut::<BYTES>().0) {
                        *out = levels[pixel].to_ne_bytes();
                    }
                }
            }
        }
    }
}

/// Quantizes NCHW floats to NHWC levels as [`quantize_rows_i16`] does, an image being a row; `sizes` are batch, channels, height
/// and width.
///
/// ```
/// use tinytorch_kernels::{Isa, int8::{QParams, quantize_nchw_to_nhwc_i16}};
///
/// let (mut q, mut params) = ([0; 8], [QParams { scale: 1.0, zero_point: 0 }; 1]);
/// quantize_nchw_to_nhwc_i16(Isa::active(), &[1.0, 2.0, 3.0, -4.0], [1, 2, 1, 2], &mut q, &mut params)?;
/// let level = |i: usize| i16::from_ne_bytes([q[2 * i], q[2 * i + 1]]);
/// assert_eq!([0, 1, 2, 3].map(level), [8192, 24575, 16384, -32767]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// As [`quantize_rows_i16`].
pub fn quantize_nchw_to_nhwc_i16(
    isa: Isa,
    x: &[f32],
    sizes: [usize; 4],
    out: &mut [u8],
    params: &mut [QParams],
) -> Result<(), Int8Error> {
    let [batch, channels, height, width] = sizes;
    let size = checked_size("the images", &sizes)?;
    check_length("the images", x.len(), size)?;
    check_length("the quantized output", out.len(), checked_size("the output", &[size, BYTES])?)?;
    check_length("the images' parameters", params.len(), batch)?;
    let image_len = size / batch.max(1);
    let steps = SharedOut::new(&mut *params);
    for_each_row(x, batch, image_len, &|image, x| {
        // SAFETY: the parameters of each image belong to one thread.
        unsafe { steps.at(image).write(isa.run(Step(x))?) };
        Ok(())
    })?;
    if size == 0 {
        return Ok(());
    }
    let shared = SharedOut::new(out);
    // Rows of pixels, over all images, are what the threads share.
    split(batch * height, QUANTIZE.shares(size), &|rows| {
        for row in rows {
            let (image, y) = (row / height, row % height);
            let row_bytes = BYTES * width * channels;
            // SAFETY: rows of pixels are disjoint, and lie side by side in the output.
            let out = unsafe { shared.slice(row * row_bytes, row_bytes) };
            let (x, inverse) = (&x[image * image_len + y * width..], 1.0 / params[image].scale);
            isa.run(PixelRow { x, plane: height * width, channels, inverse, out });
        }
    });
    Ok(())
}

/// Quantizes each of the `m` rows of `k` values to the levels from -32,767 to 32,767, with the step that takes
/// its largest value to the last of them: `out` gets two bytes for each value, a signed number in the order of
/// the machine, and `params` the scale of each row, with the zero point 0.
///
/// ```
/// use tinytorch_kernels::{Isa, int8::{QParams, quantize_rows_i16}};
///
/// let (mut q, mut params) = ([0; 4], [QParams { scale: 1.0, zero_point: 0 }; 1]);
/// quantize_rows_i16(Isa::active(), &[0.1, -1.0], 1, 2, &mut q, &mut params)?;
/// let value = |i: usize| params[0].scale * f32::from(i16::from_ne_bytes([q[2 * i], q[2 * i + 1]]));
/// assert!((value(0) - 0.1).abs() < 2e-5 && (value(1) + 1.0).abs() < 1e-6);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match, or a row holds NaN or an infinity; the outputs are then unspecified.
pub fn quantize_rows_i16(
    isa: Isa,
    x: &[f32],
    m: usize,
    k: usize,
    out: &mut [u8],
    params: &mut [QParams],
) -> Result<(), Int8Error> {
    check_length("the input", x.len(), checked_size("the input", &[m, k])?)?;
    check_length("the quantized output", out.len(), checked_size("the output", &[m, k, BYTES])?)?;
    check_length("the row parameters", params.len(), m)?;
    let (shared_out, shared_params) = (SharedOut::new(out), SharedOut::new(params));
    for_each_row(x, m, k, &|row, x| {
        // SAFETY: each row, and its parameters, belongs to one thread.
        unsafe {
            let out = shared_out.slice(row * k * BYTES, k * BYTES);
            shared_params.at(row).write(isa.run(QuantizeRow { x, out })?);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantized(isa: Isa, x: &[f32], m: usize) -> (Vec<i16>, Vec<QParams>) {
        let mut out = vec![0; BYTES * x.len()];
        let mut params = vec![QParams { scale: 1.0, zero_point: 0 }; m];
        quantize_rows_i16(isa, x, m, x.len() / m, &mut out, &mut params).unwrap();
        (out.as_chunks().0.iter().map(|bytes| i16::from_ne_bytes(*bytes)).collect(), params)
    }

    proptest! {
        #[test]
        fn every_value_comes_back_within_half_a_step_on_every_instruction_set(
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
                let step = f64::from(params[i / k].scale);
                let back = f64::from(q[i]) * step;
                // Half a step, and what rounding the product with the inverse adds.
                prop_assert!((back - f64::from(value)).abs() <= 0.51 * step, "{} {}", back, value);
            }
        }
    }

    proptest! {
        #[test]
        fn images_are_rows_whose_pixels_are_moved(
            batch in 0usize..3, channels in 0usize..10, height in 0usize..4, width in 0usize..140,
        ) {
            let pixels = height * width;
            let size = batch * channels * pixels;
            let x: Vec<f32> = (0..size).map(|i| (i as f32 * 0.7).sin() * (1 + i % 5) as f32).collect();
            let (rows, params) = match batch {
                0 => (Vec::new(), Vec::new()),
                _ => quantized(Isa::active(), &x, batch),
            };
            for isa in Isa::available() {
                let (mut out, mut found) = (vec![0; BYTES * size], params.clone());
                let sizes = [batch, channels, height, width];
                quantize_nchw_to_nhwc_i16(isa, &x, sizes, &mut out, &mut found).unwrap();
                prop_assert_eq!(&found, &params);
                for (i, bytes) in out.as_chunks().0.iter().enumerate() {
                    let (pixel, channel) = (i / channels, i % channels);
                    let (image, pixel) = (pixel / pixels, pixel % pixels);
                    let at = (image * channels + channel) * pixels + pixel;
                    prop_assert_eq!(i16::from_ne_bytes(*bytes), rows[at]);
                }
            }
        }
    }

    #[test]
    fn zero_is_exact_and_the_largest_value_is_the_last_level() {
        let (q, params) = quantized(Isa::active(), &[0.0, -3.0, 5.0, 0.0, 0.0, 0.0, 7.0, 7.0], 4);
        assert_eq!(q, [0, -32_767, 32_767, 0, 0, 0, 32_767, 32_767]);
        assert_eq!((params[2].scale, params[0].zero_point), (1.0, 0));
    }

    #[test]
    fn the_largest_and_the_smallest_floats_stay_finite() {
        for value in [f32::MAX, f32::MIN_POSITIVE, 1e-45] {
            let (q, params) = quantized(Isa::active(), &[value, -value], 1);
            assert_eq!(q[0], -q[1]);
            assert!((f32::from(q[0]) * params[0].scale).is_finite());
        }
    }

    #[test]
    fn values_that_are_not_finite_are_named_with_their_place() {
        let mut out = [0; 8];
        let mut params = [QParams { scale: 1.0, zero_point: 0 }; 2];
        let x = [1.0, 2.0, 3.0, f32::NAN];
        let error = quantize_rows_i16(Isa::active(), &x, 2, 2, &mut out, &mut params).unwrap_err();
        assert!(matches!(error, Int8Error::NotFinite { index: 3, .. }), "{error}");
        assert!(quantize_rows_i16(Isa::active(), &x, 2, 2, &mut out[..4], &mut params).is_err());
        // Twice as many bytes as this are none when counted in 64 bits.
        let rows = usize::MAX / 2 + 1;
        assert!(quantize_rows_i16(Isa::active(), &[], rows, 1, &mut [], &mut []).is_err());
    }
}
