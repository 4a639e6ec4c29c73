//! Where the pixels of a transposed image lie.

use crate::f32::conv::Lengths;
use crate::int8::ConvShape;

/// Values that some rows of transposed input take, 96 KB, which stay in the second-level cache; fewer rows would be transposed
/// again for the next ones: a third of it takes 32 planes of 120 x 160 138 us instead of 99.
const STAGED: usize = 24 << 10;

/// The transposed image, in pixels: what some rows of output see of the input and of the padding around it.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) shape: ConvShape,
    /// Rows and columns of the output.
    pub(super) output: [usize; 2],
    /// Rows and columns under the kernel.
    span: [usize; 2],
    /// Pixels of a row.
    pub(super) width: usize,
    /// Rows of output at a time.
    pub(super) at_once: usize,
}

impl Grid {
    pub(super) fn new(lanes: usize, shape: &ConvShape, lengths: &Lengths) -> Grid {
        let (shape, output) = (shape.canonical(), lengths.output);
        let span = shape.span();
        let width =
            (shape.padding[1][0] + shape.width).max((output[1] - 1) * shape.stride[1] + span[1]);
        let further = (STAGED / (lanes * width)).saturating_sub(span[0]) / shape.stride[0];
        Grid { shape, output, span, width, at_once: output[0].min(1 + further) }
    }

    /// Pixels that a single row of output sees, at least.
    pub(super) fn least(shape: &ConvShape, lengths: &Lengths) -> usize {
        let [rows, columns] = shape.canonical().span();
        let columns = columns.saturating_add(lengths.output[1].saturating_mul(shape.stride[1]));
        columns.max(shape.padding[1][0].saturating_add(shape.width)).saturating_mul(rows)
    }

    /// Rows that so many rows of output see.
    pub(super) fn rows(&self, output_rows: usize) -> usize {
        (output_rows - 1) * self.shape.stride[0] + self.span[0]
    }

    /// Where the pixels of rows of input lie.
    pub(super) fn places(&self, lanes: usize, places: &mut [usize]) {
        for (y, row) in places.chunks_exact_mut(self.shape.width).enumerate() {
            for (x, place) in row.iter_mut().enumerate() {
                *place = lanes * (y * self.width + self.shape.padding[1][0] + x);
            }
        }
    }

    /// From the first value under the kernel to each other one.
    pub(super) fn taps(&self, lanes: usize, taps: &mut [usize]) {
        let ConvShape { kernel, dilation, .. } = self.shape;
        for (y, taps) in taps.chunks_exact_mut(kernel[1]).enumerate() {
            for (x, tap) in taps.iter_mut().enumerate() {
                *tap = lanes * (y * dilation[0] * self.width + x * dilation[1]);
            }
        }
    }
}
