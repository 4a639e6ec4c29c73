//! Quantizing images on their way from channel-by-channel to pixel-by-pixel order.

use super::error::{check_length, checked_size};
use super::levels::{Levels, quantize_lanes};
use super::{Int8Error, RowParams};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::threads::QUANTIZE;

/// Channels that are brought together in a 32-bit lane.
const TOGETHER: usize = 4;

/// Quantizes NCHW floats to the NHWC levels that [`conv2d`](super::conv2d) reads.
///
/// `sizes` are batch, channels, height and width; [`RowParams::PerRow`] has one entry per image.
/// Each value becomes what [`quantize_u8`](super::quantize_u8) makes of it.
///
/// ```
/// use tinytorch_kernels::{Isa, int8::{QParams, RowParams, quantize_nchw_to_nhwc}};
///
/// let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 });
/// let mut q = [0; 4];
/// quantize_nchw_to_nhwc(Isa::active(), &[1.0, 2.0, 10.0, 20.0], [1, 2, 1, 2], params, &mut q)?;
/// assert_eq!(q, [1, 10, 2, 20]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match, or a scale is not usable.
pub fn quantize_nchw_to_nhwc(
    isa: Isa,
    x: &[f32],
    sizes: [usize; 4],
    params: RowParams<'_>,
    out: &mut [u8],
) -> Result<(), Int8Error> {
    let [batch, channels, height, width] = sizes;
    let size = checked_size("the images", &sizes)?;
    check_length("the images", x.len(), size)?;
    check_length("the quantized output", out.len(), size)?;
    params.check("the images' scales", batch)?;
    params.check_bytes("an image")?;
    if size == 0 {
        return Ok(());
    }
    let shared = SharedOut::new(out);
    // Rows of pixels, over all images, are what the threads share.
    split(batch * height, QUANTIZE.shares(size), &|rows| {
        for row in rows {
            let (image, y) = (row / height, row % height);
            let first = image * channels * height * width + y * width;
            // SAFETY: rows of pixels are disjoint, and lie side by side in the output.
            let out = unsafe { shared.slice(row * width * channels, width * channels) };
            let levels = params.of(image).levels();
            let x = &x[first..];
            isa.run(PixelRow { x, plane: height * width, channels, width, levels, out });
        }
    });
    Ok(())
}

/// One row of pixels: the channels of `x` lie `plane` values apart. Two or three are written as vectors, where a picture of 224 x 224
/// pixels takes 24 us, and 63 pixel by pixel.
struct PixelRow<'a> {
    x: &'a [f32],
    plane: usize,
    channels: usize,
    width: usize,
    levels: Levels,
    out: &'a mut [u8],
}

impl Kernel for PixelRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for first in (0..self.width).step_by(S::LANES) {
            let count = S::LANES.min(self.width - first);
            for channel in (0..self.channels).step_by(TOGETHER) {
                let together = TOGETHER.min(self.channels - channel);
                let mut bytes = s.splat_i32(0);
                for i in 0..together {
                    let x = &self.x[(channel + i) * self.plane + first..][..count];
                    let q = quantize_lanes(s, s.load_partial(x), self.levels);
                    bytes = s.or_i32(bytes, s.shl(q, 8 * i as u32));
                }
                let out = &mut self.out[first * self.channels..];
                // What is too much the next pixels overwrite.
                let has_room = count == S::LANES && out.len() >= S::LANES * self.channels + 16;
                match self.channels {
                    3 if has_room => s.store_lowest::<3>(bytes, out),
                    2 if has_room => s.store_lowest::<2>(bytes, out),
                    _ => {
                        let mut lanes = [0; 16];
                        s.store_i32(bytes, &mut lanes);
                        let lanes = &lanes[..count];
                        match together {
                            TOGETHER => write_fours(lanes, out, channel, self.channels),
                            _ => write_rest(lanes, out, channel, self.channels),
                        }
                    }
                }
            }
        }
    }
}

/// Writes four channels of each pixel, from `channel` on.
#[inline(always)]
fn write_fours(lanes: &[i32], out: &mut [u8], channel: usize, channels: usize) {
    for (pixel, lane) in out.chunks_exact_mut(channels).zip(lanes) {
        pixel[channel..channel + TOGETHER].copy_from_slice(&lane.to_le_bytes());
    }
}

/// Writes the last one to three channels of each pixel, from `channel` on.
#[inline(always)]
fn write_rest(lanes: &[i32], out: &mut [u8], channel: usize, channels: usize) {
    for (pixel, lane) in out.chunks_exact_mut(channels).zip(lanes) {
        for (out, byte) in pixel[channel..].iter_mut().zip(lane.to_le_bytes()) {
            *out = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::QParams;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_quantized_and_moved(
            batch in 0usize..3, channels in 0usize..10, height in 0usize..4, width in 0usize..40,
        ) {
            let size = batch * channels * height * width;
            let x: Vec<f32> = (0..size).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
            let params: Vec<QParams> =
                (0..batch).map(|i| QParams { scale: 0.02, zero_point: 100 + i as u8 }).collect();
            for isa in Isa::available() {
                let mut out = vec![0; size];
                let sizes = [batch, channels, height, width];
                quantize_nchw_to_nhwc(isa, &x, sizes, RowParams::PerRow(&params), &mut out).unwrap();
                for (i, x) in x.iter().enumerate() {
                    let (plane, pixel) = (i / (height * width), i % (height * width));
                    let (image, channel) = (plane / channels, plane % channels);
                    let at = (image * height * width + pixel) * channels + channel;
                    prop_assert_eq!(out[at], params[image].quantize(*x));
                }
            }
        }
    }
}
