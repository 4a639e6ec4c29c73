//! The part of an image that some output rows read, with its padding filled in.

use std::ops::Range;

use super::conv_shape::ConvShape;

/// Bytes that must be readable and writable behind what [`copy_short`] copies.
pub(super) const COPY_SLACK: usize = 32;

/// Bytes that may be read behind the last pixel of a slab: the widest vector.
const SLACK: usize = 64;

/// Copies `len` bytes in steps of 32, so up to 31 more than asked for: twice as fast as a call of
/// `memcpy` for the 21 bytes of a kernel row of seven pixels with three channels.
///
/// # Panics
/// If either slice is shorter than `len + COPY_SLACK`.
#[inline(always)]
pub(super) fn copy_short(from: &[u8], to: &mut [u8], len: usize) {
    let padded = len.next_multiple_of(COPY_SLACK);
    let (from, to) = (&from[..padded], &mut to[..padded]);
    for (from, to) in from.chunks_exact(COPY_SLACK).zip(to.chunks_exact_mut(COPY_SLACK)) {
        let mut step = [0; COPY_SLACK];
        step.copy_from_slice(from);
        to.copy_from_slice(&step);
    }
}

/// Input rows, each `row_stride` bytes from the next, such that every pixel under the kernel is
/// there for every output row.
#[derive(Copy, Clone)]
pub(super) struct Slab<'a> {
    pub(super) pixels: &'a [u8],
    pub(super) row_stride: usize,
}

impl<'a> Slab<'a> {
    /// Input rows under `output_rows` rows of output.
    pub(super) fn height(shape: &ConvShape, output_rows: usize) -> usize {
        (output_rows - 1) * shape.stride[0] + shape.span()[0]
    }

    /// Bytes of a slab of `height` rows.
    pub(super) fn bytes(shape: &ConvShape, height: usize) -> usize {
        height * shape.padded_width() * shape.in_channels + SLACK
    }

    /// The rows where they are, in an image without padding.
    pub(super) fn in_place(shape: &ConvShape, image: &'a [u8], rows: &Range<usize>) -> Slab<'a> {
        let row_stride = shape.width * shape.in_channels;
        Slab { pixels: &image[rows.start * shape.stride[0] * row_stride..], row_stride }
    }

    /// A copy of the rows with `zero_point` for padding.
    pub(super) fn copied(
        shape: &ConvShape,
        image: &[u8],
        rows: &Range<usize>,
        zero_point: u8,
        buffer: &'a mut [u8],
    ) -> Slab<'a> {
        let [[top, _], [left, right]] = shape.padding;
        let channels = shape.in_channels;
        let image_stride = shape.width * channels;
        let row_stride = image_stride + (left + right) * channels;
        let height = Slab::height(shape, rows.len());
        for (i, row) in buffer[..height * row_stride].chunks_exact_mut(row_stride).enumerate() {
            match (rows.start * shape.stride[0] + i).checked_sub(top) {
                Some(y) if y < shape.height => {
                    let (before, rest) = row.split_at_mut(left * channels);
                    let (inside, after) = rest.split_at_mut(image_stride);
                    before.fill(zero_point);
                    inside.copy_from_slice(&image[y * image_stride..][..image_stride]);
                    after.fill(zero_point);
                }
                _ => row.fill(zero_point),
            }
        }
        Slab { pixels: buffer, row_stride }
    }
}
