//! Max pooling of images, of floats or of 8-bit levels, whose order is the order of what they stand
//! for.

mod planes;
mod pooled;

pub use self::pooled::Pooled;

use std::ops::Range;

use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::scratch::bytes_for;
use crate::threads::MAX_POOL;
use crate::{Isa, Scratch};

/// The sizes of a pool: windows of `kernel` pixels, one every `stride` pixels. A pool of signals is one
/// of images with one row.
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
    /// Pixels added above and below, left and right; they are never the largest.
    pub padding: [[usize; 2]; 2],
    /// Pixels from one of a window's pixels to the next, down and across; 1 if they are neighbors.
    pub dilation: [usize; 2],
}

impl PoolShape {
    /// Rows and columns of an output image; `None` for a kernel, stride or dilation of 0, an image
    /// without pixels, a window that spans more than the padded image, and where a window could lie in
    /// the padding completely: if it starts behind the image or ends before it, or if it skips more
    /// pixels than a padded image has.
    pub fn output_size(&self) -> Option<[usize; 2]> {
        let along = |size: usize, axis: usize| {
            let ([before, after], kernel) = (self.padding[axis], self.kernel[axis]);
            let (stride, dilation) = (self.stride[axis], self.dilation[axis]);
            let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            let padded = before.checked_add(size)?.checked_add(after)?;
            let steps = padded.checked_sub(span)?.checked_div(stride)?;
            let touched = before < span && steps * stride < before + size;
            let skips_image = before + after > 0 && kernel > 1 && dilation > size;
            (size > 0 && dilation > 0 && touched && !skips_image).then_some(steps + 1)
        };
        Some([along(self.height, 0)?, along(self.width, 1)?])
    }

    /// The pixels of the image under window `index` along an axis of `size`, from the first on;
    /// [`PoolShape::dilation`] says how far apart they are.
    #[inline(always)]
    pub(crate) fn window(&self, axis: usize, size: usize, index: usize) -> Range<usize> {
        let (before, dilation) = (self.padding[axis][0], self.dilation[axis]);
        let start = index * self.stride[axis];
        let last = start + (self.kernel[axis] - 1) * dilation;
        let end = (last + 1).saturating_sub(before).min(size);
        let first = match before.checked_sub(start) {
            Some(outside) if dilation > 1 => outside.next_multiple_of(dilation) - outside,
            _ => start.saturating_sub(before),
        };
        first.min(end)..end
    }
}

/// How the values of images lie in memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PoolOrder {
    /// Channel by channel.
    Nchw,
    /// Pixel by pixel.
    Nhwc,
    /// Pixel by pixel in the input, channel by channel in the output.
    NhwcToNchw,
}

/// The largest value of each window and channel of a batch of images.
///
/// ```
/// use tinytorch_kernels::pool::{PoolOrder, PoolShape, max_pool};
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let shape = PoolShape {
///     batch: 1, channels: 1, height: 2, width: 4, kernel: [2, 2], stride: [2, 2],
///     padding: [[0, 0], [0, 0]], dilation: [1, 1],
/// };
/// let (x, mut y) = ([1u8, 2, 3, 4, 9, 8, 7, 6], [0; 2]);
/// max_pool(Isa::active(), &shape, PoolOrder::Nhwc, &x, &mut y, &mut Scratch::new());
/// assert_eq!(y, [9, 7]);
/// ```
///
/// # Panics
/// If [`PoolShape::output_size`] is `None`, or a slice is not as long as the sizes say.
pub fn max_pool<T: Pooled>(
    isa: Isa,
    shape: &PoolShape,
    order: PoolOrder,
    x: &[T],
    out: &mut [T],
    scratch: &mut Scratch,
) {
    // Planes are images of one channel.
    let shape = match order {
        PoolOrder::Nchw => {
            &PoolShape { batch: shape.batch * shape.channels, channels: 1, ..*shape }
        }
        PoolOrder::Nhwc | PoolOrder::NhwcToNchw => shape,
    };
    let PoolShape { batch, channels, height, width, .. } = *shape;
    assert_eq!(x.len(), batch * channels * height * width, "values of the input");
    let Some(out_size) = shape.output_size() else { panic!("impossible windows: {shape:?}") };
    let out_rows = batch * out_size[0];
    assert_eq!(out.len(), out_rows * out_size[1] * channels, "values of the output");
    if out.is_empty() {
        return;
    }
    let pieces = MAX_POOL.shares(size_of_val(x)).min(out_rows);
    let buffer_len =
        planes::buffer_len(shape, out_size[1]).unwrap_or((width + out_size[1]) * channels);
    let mut arena = scratch.arena(bytes_for::<T>(pieces * buffer_len));
    let buffers = SharedOut::new(arena.take::<T>(pieces * buffer_len));
    let out = SharedOut::new(out);
    split(pieces, pieces, &|range| {
        for piece in range {
            // SAFETY: each piece has its own part of the scratch.
            let buffer = unsafe { buffers.slice(piece * buffer_len, buffer_len) };
            let rows = out_rows * piece / pieces..out_rows * (piece + 1) / pieces;
            let to_planes = order == PoolOrder::NhwcToNchw;
            isa.run(Rows { shape, x, out, out_size, to_planes, rows, buffer });
        }
    });
}

/// Some rows of the output, counted over all images.
struct Rows<'a, T> {
    shape: &'a PoolShape,
    x: &'a [T],
    out: SharedOut<T>,
    out_size: [usize; 2],
    to_planes: bool,
    rows: Range<usize>,
    buffer: &'a mut [T],
}

impl<T: Pooled> Kernel for Rows<'_, T> {
    type Output = ();

    // Plain loops, which the compiler turns into the instruction set's own `max`.
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match planes::Way::of(self.shape) {
            Some(planes::Way::Pairs) => self.pairs(s),
            Some(planes::Way::Lines) => self.lines(s),
            None => self.windows(s),
        }
    }
}

impl<T: Pooled> Rows<'_, T> {
    #[inline(always)]
    fn windows<S: Simd>(&mut self, s: S) {
        let PoolShape { channels, width, .. } = *self.shape;
        let [out_height, out_width] = self.out_size;
        let (tallest, line) = self.buffer.split_at_mut(width * channels);
        for row in self.rows.clone() {
            largest(s, tallest, under(self.shape, self.x, self.out_size, row));
            if !self.to_planes {
                let len = out_width * channels;
                // SAFETY: each output row belongs to one thread.
                largest_pixels(s, self.shape, tallest, unsafe { self.out.slice(row * len, len) });
                continue;
            }
            let line = &mut line[..out_width * channels];
            largest_pixels(s, self.shape, tallest, line);
            let (image, oy) = (row / out_height, row % out_height);
            for channel in 0..channels {
                let place = ((image * channels + channel) * out_height + oy) * out_width;
                // SAFETY: as above.
                let out = unsafe { self.out.slice(place, out_width) };
                let values = line[channel..].iter().step_by(channels);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        }
    }
}

/// The rows of the input under one of the output.
#[inline(always)]
fn under<'a, T>(
    shape: &'a PoolShape,
    x: &'a [T],
    [out_height, _]: [usize; 2],
    row: usize,
) -> impl Iterator<Item = &'a [T]> {
    let (image, oy) = (row / out_height, row % out_height);
    let row_len = shape.width * shape.channels;
    let rows = shape.window(0, shape.height, oy).step_by(shape.dilation[0]);
    rows.map(move |y| &x[(image * shape.height + y) * row_len..][..row_len])
}

/// The largest pixels under each window along a row, channel by channel.
#[inline(always)]
fn largest_pixels<S: Simd, T: Pooled>(s: S, shape: &PoolShape, row: &[T], out: &mut [T]) {
    let PoolShape { channels, width, kernel, stride, padding, dilation, .. } = *shape;
    if (kernel[1], stride[1], padding[1], dilation[1]) == (2, 2, [0, 0], 1) {
        for (out, pair) in out.chunks_exact_mut(channels).zip(row.chunks_exact(2 * channels)) {
            let (first, second) = pair.split_at(channels);
            T::larger_of_rows(s, [first, second], out);
        }
        return;
    }
    for (ox, out) in out.chunks_exact_mut(channels).enumerate() {
        let pixels = shape.window(1, width, ox);
        let pixels = row[pixels.start * channels..pixels.end * channels].chunks_exact(channels);
        match dilation[1] {
            1 => largest(s, out, pixels),
            step => largest(s, out, pixels.step_by(step)),
        }
    }
}

/// The largest of some rows or pixels, value by value. There is at least one: no window lies in the
/// padding completely.
#[inline(always)]
fn largest<'a, S: Simd, T: Pooled>(s: S, out: &mut [T], mut values: impl Iterator<Item = &'a [T]>) {
    match (values.next(), values.next(), values.next()) {
        (Some(a), Some(b), Some(c)) => T::largest_of_rows(s, [a, b, c], out),
        (Some(a), Some(b), None) => T::larger_of_rows(s, [a, b], out),
        (Some(only), None, _) => out.copy_from_slice(only),
        (None, ..) => {}
    }
    for other in values {
        T::raise(s, out, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The position of a value in images of `[batch, channels, height, width]`.
    fn at(pixels_first: bool, [_, c, h, w]: [usize; 4], [n, k, y, x]: [usize; 4]) -> usize {
        if pixels_first { ((n * h + y) * w + x) * c + k } else { ((n * c + k) * h + y) * w + x }
    }

    /// The rows and columns under a window; those of padding lie beyond the image.
    fn taps(shape: &PoolShape, oy: usize, ox: usize) -> impl Iterator<Item = (usize, usize)> {
        let PoolShape { kernel, stride, padding, dilation, .. } = *shape;
        let along = move |axis: usize, index: usize, tap: usize| {
            (index * stride[axis] + tap * dilation[axis]).wrapping_sub(padding[axis][0])
        };
        (0..kernel[0] * kernel[1])
            .map(move |tap| (along(0, oy, tap / kernel[1]), along(1, ox, tap % kernel[1])))
    }

    fn check<T: Pooled + PartialEq + std::fmt::Debug>(
        shape: &PoolShape,
        value: impl Fn(usize) -> T,
    ) -> Result<(), TestCaseError> {
        let PoolShape { batch, channels, height, width, .. } = *shape;
        let Some([oh, ow]) = shape.output_size() else { return Ok(()) };
        let (from, to) = ([batch, channels, height, width], [batch, channels, oh, ow]);
        let x: Vec<T> = (0..from.iter().product()).map(&value).collect();
        for isa in Isa::available() {
            for order in [PoolOrder::Nchw, PoolOrder::Nhwc, PoolOrder::NhwcToNchw] {
                let (pixels_in, pixels_out) = (order != PoolOrder::Nchw, order == PoolOrder::Nhwc);
                let mut out = vec![value(0); to.iter().product()];
                max_pool(isa, shape, order, &x, &mut out, &mut Scratch::new());
                for i in 0..out.len() {
                    let (n, k) = (i / (channels * oh * ow), i / (oh * ow) % channels);
                    let (oy, ox) = (i / ow % oh, i % ow);
                    let mut want: Option<T> = None;
                    for (y, column) in taps(shape, oy, ox) {
                        if y < height && column < width {
                            let value = x[at(pixels_in, from, [n, k, y, column])];
                            want = Some(want.map_or(value, |largest| largest.larger(value)));
                        }
                    }
                    prop_assert_eq!(Some(out[at(pixels_out, to, [n, k, oy, ox])]), want);
                }
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_window_gives_its_largest_value(
            batch in 0usize..3, channels in 1usize..20, height in 1usize..8, width in 1usize..8,
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4],
            padding in [[0usize..3, 0usize..3], [0usize..3, 0usize..3]],
            dilation in [1usize..4, 1usize..4], seed in 0usize..99,
        ) {
            let shape =
                PoolShape { batch, channels, height, width, kernel, stride, padding, dilation };
            check(&shape, |i| ((i + seed) * 7919 % 251) as u8)?;
            check(&shape, |i| ((i + seed) * 7919 % 251) as f32 - 125.0)?;
        }
    }

    #[test]
    fn nan_is_not_hidden_wherever_it_stands() {
        let shape = PoolShape {
            batch: 1,
            channels: 1,
            height: 3,
            width: 3,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [[0, 0]; 2],
            dilation: [1, 1],
        };
        for place in 0..9 {
            let mut x = [1.0f32; 9];
            x[place] = f32::NAN;
            let mut y = [0.0];
            let order = PoolOrder::Nhwc;
            max_pool(Isa::active(), &shape, order, &x, &mut y, &mut Scratch::new());
            assert!(y[0].is_nan());
        }
    }

    #[test]
    fn impossible_windows_have_no_output() {
        let shape = PoolShape {
            batch: 1,
            channels: 1,
            height: 2,
            width: 2,
            kernel: [2, 2],
            stride: [1, 1],
            padding: [[0, 0]; 2],
            dilation: [1, 1],
        };
        assert_eq!(shape.output_size(), Some([1, 1]));
        for bad in [
            PoolShape { kernel: [3, 1], ..shape },
            PoolShape { kernel: [0, 1], ..shape },
            PoolShape { stride: [0, 1], ..shape },
            PoolShape { padding: [[2, 2], [0, 0]], ..shape },
            PoolShape { padding: [[2, 0], [0, 0]], ..shape },
            PoolShape { padding: [[0, 0], [0, 2]], ..shape },
            PoolShape { padding: [[usize::MAX, usize::MAX], [0, 0]], ..shape },
            PoolShape { height: 0, kernel: [2, 2], padding: [[1, 1], [0, 0]], ..shape },
            PoolShape { dilation: [1, 0], ..shape },
            PoolShape { dilation: [1, 2], ..shape },
            PoolShape { dilation: [1, usize::MAX], ..shape },
            PoolShape { kernel: [3, 2], dilation: [usize::MAX, 1], ..shape },
            PoolShape { padding: [[2, 2], [0, 0]], dilation: [3, 1], ..shape },
        ] {
            assert_eq!(bad.output_size(), None, "{bad:?}");
        }
        // What lies between windows decides nothing, and neither does a dilation of one pixel.
        for (good, size) in [
            (PoolShape { padding: [[0, 0], [0, 2]], stride: [1, 4], ..shape }, [1, 1]),
            (PoolShape { padding: [[1, 0], [0, 1]], ..shape }, [2, 2]),
            (PoolShape { kernel: [1, 1], dilation: [usize::MAX; 2], ..shape }, [2, 2]),
            (PoolShape { padding: [[1, 2], [0, 0]], dilation: [2, 1], ..shape }, [3, 1]),
        ] {
            assert_eq!(good.output_size(), Some(size), "{good:?}");
        }
    }
}
