//! The gradients of a convolution.

use super::forward::windows;
use super::{Lengths, check_len};
use crate::Isa;
use crate::f32::functions::Add;
use crate::f32::gemm::{Matrix, MatrixMut, Right, Scaling, Unfolded, gemm};
use crate::f32::zip_in_place;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::threads::CONV_GRADIENT_F32;
use std::ops::Range;

/// Values of the matrix of windows that are made at a time, 256 KB, so that they stay in the L2 cache.
const TILE: usize = 1 << 16;
/// Images whose weight gradients form one sum. The number is fixed, so that the order of additions
/// does not depend on the number of threads.
const IMAGES_PER_SUM: usize = 8;
/// Weights up to which images are summed in parallel, each group of images with a copy of the
/// gradient; above, the products themselves are large enough for all threads.
const MAX_COPIED: usize = 1 << 16;

/// The gradient of the input from that of the output; `grad_in` is overwritten.
///
/// # Panics
/// If `shape` is not that of a convolution, or a length does not match it.
pub fn conv2d_backward_input(
    isa: Isa,
    shape: &ConvShape,
    weight: &[f32],
    grad_out: &[f32],
    grad_in: &mut [f32],
) {
    let lengths = Lengths::of(shape);
    check_len("weight", weight.len(), lengths.group_weight() * shape.groups);
    check_len("output's gradient", grad_out.len(), shape.batch * lengths.group_out * shape.groups);
    check_len("input's gradient", grad_in.len(), shape.batch * lengths.group_in * shape.groups);
    grad_in.fill(0.0);
    let items = shape.batch * shape.groups;
    if lengths.pixels == 0 || lengths.group_weight() == 0 {
        return;
    }
    let parts =
        CONV_GRADIENT_F32.shares(items * lengths.group_weight() * lengths.pixels).min(items);
    let (tile_rows, [rows, width]) = (tile_rows(&lengths), lengths.output);
    let grad_in = SharedOut::new(grad_in);
    split(items, parts, &|range| {
        let mut columns = vec![0.0; lengths.window * tile_rows * width];
        for item in range {
            let group = item % shape.groups;
            let weight = &weight[group * lengths.group_weight()..][..lengths.group_weight()];
            let weight = Matrix::new(weight, lengths.channels_out, lengths.window).t();
            let grad = &grad_out[item * lengths.group_out..][..lengths.group_out];
            // SAFETY: each item has its own part of the gradient.
            let image = unsafe { grad_in.slice(item * lengths.group_in, lengths.group_in) };
            for first in (0..rows).step_by(tile_rows) {
                let output_rows = first..rows.min(first + tile_rows);
                let grad = grad_tile(grad, &lengths, &output_rows);
                let columns = &mut columns[..lengths.window * grad.cols()];
                let product = MatrixMut::new(columns, lengths.window, grad.cols());
                gemm(isa, weight, grad, product, &Scaling::default());
                isa.run(Fold { shape, out_width: width, columns, output_rows, image });
            }
        }
    });
}

/// The gradient of the weight from that of the output; `grad_weight` is overwritten.
///
/// # Panics
/// If `shape` is not that of a convolution, or a length does not match it.
pub fn conv2d_backward_weight(
    isa: Isa,
    shape: &ConvShape,
    x: &[f32],
    grad_out: &[f32],
    grad_weight: &mut [f32],
) {
    let lengths = Lengths::of(shape);
    check_len("images", x.len(), shape.batch * lengths.group_in * shape.groups);
    check_len("output's gradient", grad_out.len(), shape.batch * lengths.group_out * shape.groups);
    let len = lengths.group_weight() * shape.groups;
    check_len("weight's gradient", grad_weight.len(), len);
    grad_weight.fill(0.0);
    if len == 0 || lengths.pixels == 0 || shape.batch == 0 {
        return;
    }
    let per_sum = if len <= MAX_COPIED { IMAGES_PER_SUM } else { shape.batch };
    let sums = shape.batch.div_ceil(per_sum);
    let parts = CONV_GRADIENT_F32.shares(shape.batch * len * lengths.pixels).min(sums);
    let mut others = vec![0.0; (sums - 1) * len];
    let (first, rest) = (SharedOut::new(&mut *grad_weight), SharedOut::new(&mut others));
    split(sums, parts, &|range| {
        for sum in range {
            // SAFETY: each sum has its own copy of the gradient, of which the first is the result.
            let out = unsafe {
                if sum == 0 { first.slice(0, len) } else { rest.slice((sum - 1) * len, len) }
            };
            let images = sum * per_sum..shape.batch.min((sum + 1) * per_sum);
            add_weight_gradients(isa, shape, &lengths, images, x, grad_out, out);
        }
    });
    for other in others.chunks_exact(len) {
        zip_in_place(isa, Add, grad_weight, other);
    }
}

/// Adds the gradients of some images, one after the other.
fn add_weight_gradients(
    isa: Isa,
    shape: &ConvShape,
    lengths: &Lengths,
    images: Range<usize>,
    x: &[f32],
    grad_out: &[f32],
    out: &mut [f32],
) {
    let scaling = Scaling { beta: 1.0, ..Scaling::default() };
    let (tile_rows, [rows, width]) = (tile_rows(lengths), lengths.output);
    let (mut columns, mut staging) = (Vec::new(), Vec::new());
    for item in images.start * shape.groups..images.end * shape.groups {
        let image = &x[item * lengths.group_in..][..lengths.group_in];
        let grad = &grad_out[item * lengths.group_out..][..lengths.group_out];
        let out = &mut out[item % shape.groups * lengths.group_weight()..];
        for first in (0..rows).step_by(tile_rows) {
            let output_rows = first..rows.min(first + tile_rows);
            let pixels = output_rows.len() * width;
            let windows = match windows(shape, image) {
                Right::Unfolded(windows) => {
                    columns.resize(lengths.window * tile_rows * width, 0.0);
                    staging.resize(windows.staging_len(lengths.window, tile_rows * width), 0.0);
                    let (columns, staging) = (&mut columns[..], &mut staging[..]);
                    let output_rows = output_rows.clone();
                    isa.run(Unfold { windows, output_rows, staging, columns });
                    Matrix::new(columns, lengths.window, pixels)
                }
                _ => Matrix::strided(
                    &image[first * width..],
                    lengths.window,
                    pixels,
                    lengths.pixels,
                    1,
                ),
            };
            let grad = grad_tile(grad, lengths, &output_rows);
            let c = MatrixMut::new(&mut *out, lengths.channels_out, lengths.window);
            gemm(isa, grad, windows.t(), c, &scaling);
        }
    }
}

/// Output rows in a tile.
fn tile_rows(lengths: &Lengths) -> usize {
    let [rows, width] = lengths.output;
    (TILE / (lengths.window * width).max(1)).clamp(1, rows)
}

/// The gradient of some output rows: a row for each channel.
fn grad_tile<'a>(grad: &'a [f32], lengths: &Lengths, tile: &Range<usize>) -> Matrix<'a> {
    let [_, width] = lengths.output;
    let grad = &grad[tile.start * width..];
    Matrix::strided(grad, lengths.channels_out, tile.len() * width, lengths.pixels, 1)
}

/// Writes the windows of some output rows as a matrix.
struct Unfold<'a> {
    windows: Unfolded<'a>,
    output_rows: Range<usize>,
    staging: &'a mut [f32],
    columns: &'a mut [f32],
}

impl Kernel for Unfold<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = 0..self.windows.rows();
        self.windows.write_rows(s, rows, self.output_rows, self.staging, self.columns);
    }
}

/// Adds each value of a matrix of windows to the pixel that it came from.
struct Fold<'a> {
    shape: &'a ConvShape,
    out_width: usize,
    columns: &'a [f32],
    output_rows: Range<usize>,
    image: &'a mut [f32],
}

impl Kernel for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let ConvShape { height, width, kernel, stride, padding, dilation, .. } = *self.shape;
        let [top, left] = padding.map(|sides| sides[0]);
        let out_width = self.out_width;
        let mut rows = self.columns.chunks_exact(out_width);
        for plane in self.image.chunks_exact_mut(height * width) {
            for tap in 0..kernel[0] * kernel[1] {
                let (ky, kx) = (tap / kernel[1] * dilation[0], tap % kernel[1] * dilation[1]);
                // The output columns whose pixel under this tap lies in the image.
                let before = |x: usize| (x + left).saturating_sub(kx).div_ceil(stride[1]);
                let inside = before(0).min(out_width)..before(width).min(out_width);
                for y in self.output_rows.clone() {
                    let Some(values) = rows.next() else { return };
                    let pixel_row = (y * stride[0] + ky).checked_sub(top).filter(|y| *y < height);
                    let Some(pixel_row) = pixel_row.filter(|_| !inside.is_empty()) else {
                        continue;
                    };
                    let first = inside.start * stride[1] + kx - left;
                    let pixels = &mut plane[pixel_row * width..][..width][first..];
                    let values = &values[inside.clone()];
                    if stride[1] == 1 {
                        pixels.iter_mut().zip(values).for_each(|(p, v)| *p += v);
                    } else {
                        let pixels = pixels.iter_mut().step_by(stride[1]);
                        pixels.zip(values).for_each(|(p, v)| *p += v);
                    }
                }
            }
        }
    }
}
