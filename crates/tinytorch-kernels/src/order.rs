//! Images turned from pixel by pixel (NHWC) to channel by channel (NCHW).

use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;

/// Pixels that are turned together, and channels.
const PIXELS: usize = 8;
const CHANNELS: usize = 4;

/// Writes pixels of an image, each of which holds a value for every channel, channel by channel.
pub(crate) struct ToChannels<'a> {
    pub(crate) pixels: &'a [f32],
    pub(crate) channels: usize,
    /// The first channel's value for the first of the pixels.
    pub(crate) out: SharedOut<f32>,
    /// How far channels are apart in the output.
    pub(crate) stride: usize,
}

impl Kernel for ToChannels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.pixels.len() / self.channels;
        let (whole, whole_channels) =
            (pixels / PIXELS * PIXELS, self.channels / CHANNELS * CHANNELS);
        for channel in (0..whole_channels).step_by(CHANNELS) {
            for pixel in (0..whole).step_by(PIXELS) {
                self.turn(s, pixel, channel);
            }
        }
        for channel in 0..self.channels {
            let turned = if channel < whole_channels { whole } else { 0 };
            for pixel in turned..pixels {
                let value = self.pixels[pixel * self.channels + channel];
                // SAFETY: the output has a value for each channel of each pixel, and no other thread writes it.
                unsafe { self.out.at(channel * self.stride + pixel).write(value) };
            }
        }
    }
}

impl ToChannels<'_> {
    /// Turns some pixels of some channels, from the given ones on.
    #[inline(always)]
    fn turn<S: Simd>(&self, s: S, pixel: usize, channel: usize) {
        let lines: [&[f32]; PIXELS] = std::array::from_fn(
            #[inline(always)]
            |i| &self.pixels[(pixel + i) * self.channels..][..self.channels],
        );
        debug_assert!(channel + CHANNELS <= self.channels);
        // SAFETY: each of the eight lines holds all channels.
        let turned = unsafe { s.transpose(&lines, channel) };
        for (i, values) in turned.into_iter().enumerate() {
            let start = (channel + i) * self.stride + pixel;
            // SAFETY: as above, for eight pixels.
            unsafe { s.store_eight(values, self.out.slice(start, PIXELS).as_mut_ptr()) };
        }
    }
}

/// Writes images of `channels` values for each of `pixels` pixels channel by channel; `x` holds them pixel by
/// pixel.
///
/// ```
/// use tinytorch_kernels::{Isa, order::to_channels};
///
/// let mut planes = [0.0; 6];
/// to_channels(Isa::active(), &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0], 2, 3, &mut planes);
/// assert_eq!(planes, [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
/// ```
///
/// # Panics
/// If the lengths of `x` and `out` differ, or are not those of whole images.
pub fn to_channels(isa: Isa, x: &[f32], channels: usize, pixels: usize, out: &mut [f32]) {
    let image = channels * pixels;
    assert!(x.len() == out.len() && x.len().is_multiple_of(image.max(1)), "images are whole");
    for (x, out) in x.chunks_exact(image.max(1)).zip(out.chunks_exact_mut(image.max(1))) {
        isa.run(ToChannels { pixels: x, channels, out: SharedOut::new(out), stride: pixels });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_goes_to_its_channel_and_pixel_on_every_instruction_set() {
        for (channels, pixels) in
            [(1, 1), (3, 7), (4, 8), (5, 9), (7, 49), (128, 16), (0, 4), (4, 0)]
        {
            let image = channels * pixels;
            let x: Vec<f32> = (0..2 * image).map(|i| i as f32).collect();
            for isa in Isa::available() {
                let mut out = vec![-1.0; x.len()];
                to_channels(isa, &x, channels, pixels, &mut out);
                for (i, &value) in out.iter().enumerate() {
                    let (n, channel, pixel) = (i / image, i % image / pixels, i % pixels);
                    let from = n * image + pixel * channels + channel;
                    assert_eq!(value, x[from], "{} {channels} {pixels}", isa.name());
                }
            }
        }
    }
}
