//! Max pooling of quantized images: the order of levels is the order of what they stand for.

use std::ops::Range;

use super::error::{check_length, checked_size};
use super::{Int8Error, Layout};
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, pieces, split};
use crate::scratch::bytes_for;
use crate::{Isa, Scratch};

/// Levels read per thread below which the work stays on one thread: 256k take about 10 us.
const LEAST_PER_THREAD: usize = 1 << 18;

/// The sizes of a pool: windows of `kernel` pixels, one every `stride` pixels.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next, down and across.
    pub stride: [usize; 2],
    /// Pixels added on each side, above and below, left and right; they are never the largest.
    pub padding: [usize; 2],
}

impl PoolShape {
    /// Rows and columns of an output image.
    ///
    /// # Errors
    /// A kernel or stride of 0, padding of more than half a window, or a window that is larger than
    /// the padded image.
    pub fn output_size(&self) -> Result<[usize; 2], Int8Error> {
        let along = |size: usize, axis: usize| {
            let (kernel, padding) = (self.kernel[axis], self.padding[axis]);
            let padded = padding.checked_mul(2)?.checked_add(size)?;
            let steps = padded.checked_sub(kernel)?.checked_div(self.stride[axis])?;
            (kernel > 0 && padding <= kernel / 2).then_some(steps + 1)
        };
        match (along(self.height, 0), along(self.width, 1)) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(Int8Error::Convolution { what: "pooling window must fit the padded image" }),
        }
    }

    /// The pixels of the image under window `index` along an axis of `size`.
    pub(crate) fn window(&self, axis: usize, size: usize, index: usize) -> Range<usize> {
        let start = index * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]).min(size);
        start.saturating_sub(self.padding[axis]).min(end)..end
    }
}

/// The largest level of each window and channel of NHWC images; `layout` is the output's.
///
/// ```
/// use tinytorch_kernels::int8::{Layout, PoolShape, max_pool};
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let shape = PoolShape {
///     batch: 1, channels: 1, height: 2, width: 4, kernel: [2, 2], stride: [2, 2], padding: [0, 0],
/// };
/// let mut y = [0; 2];
/// let x = [1, 2, 3, 4, 9, 8, 7, 6];
/// max_pool(Isa::active(), &shape, &x, &mut y, Layout::Nhwc, &mut Scratch::new())?;
/// assert_eq!(y, [9, 7]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// The geometry is impossible, or a length does not match it.
pub fn max_pool(
    isa: Isa,
    shape: &PoolShape,
    x: &[u8],
    out: &mut [u8],
    layout: Layout,
    scratch: &mut Scratch,
) -> Result<&'static str, Int8Error> {
    let PoolShape { batch, channels, height, width, .. } = *shape;
    let size = checked_size("the images", &[batch, channels, height, width])?;
    check_length("the images", x.len(), size)?;
    let [out_height, out_width] = shape.output_size()?;
    let out_size = checked_size("the output", &[batch, channels, out_height, out_width])?;
    check_length("the output", out.len(), out_size)?;
    const NAME: &str = "max_pool_u8";
    if out_size == 0 {
        return Ok(NAME);
    }
    let pieces = pieces(size, LEAST_PER_THREAD).min(batch * out_height);
    let row = width * channels;
    let mut arena = scratch.arena(pieces * bytes_for::<u8>(row + channels));
    let all = SharedOut::new(arena.take::<u8>(pieces * (row + channels)));
    let out = SharedOut::new(out);
    split(pieces, pieces, &|range| {
        for piece in range {
            // SAFETY: each piece has its own part of the scratch.
            let buffer = unsafe { all.slice(piece * (row + channels), row + channels) };
            let rows = batch * out_height;
            let rows = rows * piece / pieces..rows * (piece + 1) / pieces;
            isa.run(Rows {
                shape,
                x,
                out,
                layout,
                rows,
                buffer,
                out_size: [out_height, out_width],
            });
        }
    });
    Ok(NAME)
}

/// Some rows of the output, counted over all images.
struct Rows<'a> {
    shape: &'a PoolShape,
    x: &'a [u8],
    out: SharedOut<u8>,
    layout: Layout,
    rows: Range<usize>,
    buffer: &'a mut [u8],
    out_size: [usize; 2],
}

impl Kernel for Rows<'_> {
    type Output = ();

    // Plain loops over bytes, which the compiler turns into the instruction set's own `max`.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { channels, height, width, .. } = *self.shape;
        let [out_height, out_width] = self.out_size;
        let row_len = width * channels;
        let (tallest, pixel) = self.buffer.split_at_mut(row_len);
        for row in self.rows {
            let (image, oy) = (row / out_height, row % out_height);
            let mut rows = self
                .shape
                .window(0, height, oy)
                .map(|y| &self.x[(image * height + y) * row_len..][..row_len]);
            // No window lies in the padding completely, so there is a first row.
            if let Some(first) = rows.next() {
                tallest.copy_from_slice(first);
            }
            rows.for_each(|row| max_into(tallest, row));
            for ox in 0..out_width {
                let pixels = self.shape.window(1, width, ox);
                let under = &tallest[pixels.start * channels..pixels.end * channels];
                if self.layout == Layout::Nhwc {
                    // SAFETY: each output row belongs to one thread.
                    let out =
                        unsafe { self.out.slice((row * out_width + ox) * channels, channels) };
                    max_of_pixels(out, under);
                } else {
                    max_of_pixels(pixel, under);
                    for (channel, &level) in pixel.iter().enumerate() {
                        let plane = (image * channels + channel) * out_height + oy;
                        // SAFETY: as above.
                        unsafe { self.out.at(plane * out_width + ox).write(level) };
                    }
                }
            }
        }
    }
}

/// The largest of pixels that lie side by side, channel by channel.
#[inline(always)]
fn max_of_pixels(out: &mut [u8], pixels: &[u8]) {
    let mut pixels = pixels.chunks_exact(out.len());
    match (pixels.next(), pixels.next()) {
        (Some(first), Some(second)) => {
            for ((out, a), b) in out.iter_mut().zip(first).zip(second) {
                *out = *a.max(b);
            }
        }
        (Some(only), None) => out.copy_from_slice(only),
        (None, _) => {}
    }
    pixels.for_each(|pixel| max_into(out, pixel));
}

#[inline(always)]
fn max_into(out: &mut [u8], other: &[u8]) {
    for (out, other) in out.iter_mut().zip(other) {
        *out = (*out).max(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_window_gives_its_largest_level(
            batch in 0usize..3, channels in 1usize..20, height in 1usize..8, width in 1usize..8,
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4],
            padding in [0usize..2, 0usize..2], seed in 0usize..99,
        ) {
            let shape = PoolShape { batch, channels, height, width, kernel, stride, padding };
            let Ok([oh, ow]) = shape.output_size() else { return Ok(()) };
            let len = batch * channels * height * width;
            let x: Vec<u8> = (0..len).map(|i| ((i + seed) * 7919 % 251) as u8).collect();
            let largest = |image: usize, channel: usize, oy: usize, ox: usize| {
                let mut largest = 0;
                for (y, x_) in shape.window(0, height, oy)
                    .flat_map(|y| shape.window(1, width, ox).map(move |x| (y, x)))
                {
                    largest = largest.max(x[((image * height + y) * width + x_) * channels + channel]);
                }
                largest
            };
            for isa in Isa::available() {
                for layout in [Layout::Nhwc, Layout::Nchw] {
                    let mut out = vec![0; batch * channels * oh * ow];
                    max_pool(isa, &shape, &x, &mut out, layout, &mut Scratch::new()).unwrap();
                    for (i, got) in out.iter().enumerate() {
                        let (image, rest) = (i / (oh * ow * channels), i % (oh * ow * channels));
                        let want = match layout {
                            Layout::Nhwc => largest(
                                image, rest % channels, rest / channels / ow, rest / channels % ow,
                            ),
                            Layout::Nchw => largest(
                                image, rest / (oh * ow), rest / ow % oh, rest % ow,
                            ),
                        };
                        prop_assert_eq!(*got, want);
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_windows_are_errors() {
        let shape = PoolShape {
            batch: 1,
            channels: 1,
            height: 2,
            width: 2,
            kernel: [2, 2],
            stride: [1, 1],
            padding: [0, 0],
        };
        assert_eq!(shape.output_size(), Ok([1, 1]));
        for bad in [
            PoolShape { kernel: [3, 1], ..shape },
            PoolShape { kernel: [0, 1], ..shape },
            PoolShape { stride: [0, 1], ..shape },
            PoolShape { padding: [2, 0], ..shape },
            PoolShape { padding: [usize::MAX, 0], ..shape },
        ] {
            assert!(bad.output_size().is_err(), "{bad:?}");
        }
    }
}
