//! Average pooling of float images, NCHW; for the largest value see [`crate::pool`].

use super::split::{Rows, in_pieces};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::pool::PoolShape;
use crate::threads::AVERAGE_POOL;

/// What the sum of a window is divided by: what PyTorch and ONNX call `count_include_pad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divisor {
    /// The number of its pixels, padding included.
    Window,
    /// The number of its pixels that are not padding.
    Inside,
}

/// The average of each window of `x`, which is `[batch, channels, height, width]`.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::pool::{Divisor, average_pool};
/// use tinytorch_kernels::pool::PoolShape;
///
/// let shape = PoolShape {
///     batch: 1, channels: 1, height: 2, width: 4, kernel: [2, 2], stride: [2, 2],
///     padding: [[0, 0], [0, 0]], dilation: [1, 1],
/// };
/// let x = [1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0];
/// let mut y = [0.0; 2];
/// average_pool(Isa::active(), &shape, Divisor::Window, &x, &mut y);
/// assert_eq!(y, [5.0, 5.0]);
/// ```
///
/// # Panics
/// If [`PoolShape::output_size`] is `None`, or a length does not match the shape.
pub fn average_pool(isa: Isa, shape: &PoolShape, divisor: Divisor, x: &[f32], out: &mut [f32]) {
    let Some(output) = shape.output_size() else { panic!("impossible windows: {shape:?}") };
    let (planes, plane_in) = (shape.batch * shape.channels, shape.height * shape.width);
    let plane_out = output[0] * output[1];
    assert_eq!(x.len(), planes * plane_in, "the images do not match the shape");
    assert_eq!(out.len(), planes * plane_out, "the output does not match the shape");
    let rows = (Rows { values: out, width: plane_out }, Rows { values: x, width: plane_in });
    in_pieces(rows, AVERAGE_POOL.items(plane_in), &|(out, x)| {
        let mut row = vec![0.0; shape.width];
        let (x, out) = (x.values, out.values);
        isa.run(Planes { divisor, shape, output, x, row: &mut row, out });
    });
}

struct Planes<'a> {
    divisor: Divisor,
    shape: &'a PoolShape,
    output: [usize; 2],
    x: &'a [f32],
    /// Room for one row of an input image.
    row: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { divisor, shape, output: [out_height, out_width], x, row, out } = self;
        let PoolShape { height, width, kernel, dilation: [down, across], .. } = *shape;
        let planes =
            x.chunks_exact(height * width).zip(out.chunks_exact_mut(out_height * out_width));
        for (x, out) in planes {
            for (y, out) in out.chunks_exact_mut(out_width).enumerate() {
                // Down the columns first, which vectors do, and then along the row.
                let rows = shape.window(0, height, y);
                row.fill(0.0);
                for y in rows.clone().step_by(down) {
                    let x = &x[y * width..][..width];
                    row.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                }
                for (i, out) in out.iter_mut().enumerate() {
                    let columns = shape.window(1, width, i);
                    let count = match divisor {
                        Divisor::Window => kernel[0] * kernel[1],
                        Divisor::Inside => {
                            rows.len().div_ceil(down) * columns.len().div_ceil(across)
                        }
                    };
                    let under = row[columns].iter();
                    let sum: f32 =
                        if across == 1 { under.sum() } else { under.step_by(across).sum() };
                    *out = sum / count as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: PoolShape = PoolShape {
        batch: 2,
        channels: 3,
        height: 6,
        width: 7,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [[0, 0], [0, 0]],
        dilation: [1, 1],
    };

    #[test]
    fn every_window_is_averaged() {
        let shapes = [
            PLAIN,
            PoolShape { kernel: [3, 3], padding: [[1, 1], [1, 1]], ..PLAIN },
            PoolShape { kernel: [3, 2], stride: [1, 3], padding: [[1, 1], [0, 0]], ..PLAIN },
            PoolShape { kernel: [2, 3], padding: [[0, 1], [2, 0]], ..PLAIN },
            PoolShape { kernel: [3, 2], padding: [[3, 2], [1, 3]], dilation: [2, 3], ..PLAIN },
            PoolShape { kernel: [2, 3], stride: [1, 3], dilation: [4, 1], ..PLAIN },
            PoolShape { height: 1, kernel: [1, 3], dilation: [5, 2], width: 31, ..PLAIN },
            PoolShape { kernel: [6, 7], stride: [1, 1], ..PLAIN },
            PoolShape { height: 70, width: 80, batch: 10, ..PLAIN },
        ];
        for shape in shapes {
            let len = shape.batch * shape.channels * shape.height * shape.width;
            let x: Vec<f32> = (0..len).map(|i| ((i * 7919) % 101) as f32 - 50.0).collect();
            for divisor in [Divisor::Window, Divisor::Inside] {
                let want = expected(&shape, divisor, &x);
                for isa in Isa::available() {
                    let mut got = vec![0.0; want.len()];
                    average_pool(isa, &shape, divisor, &x, &mut got);
                    // Sums of small integers are exact in any order.
                    assert_eq!(got, want, "{divisor:?} {shape:?}");
                }
            }
        }
    }

    fn expected(shape: &PoolShape, divisor: Divisor, x: &[f32]) -> Vec<f32> {
        let [height, width] = shape.output_size().unwrap();
        let window = shape.kernel[0] * shape.kernel[1];
        let mut out = Vec::new();
        for plane in x.chunks_exact(shape.height * shape.width) {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let inside: Vec<f32> = (0..window)
                    .filter_map(|tap| {
                        let (i, j) = (tap / shape.kernel[1], tap % shape.kernel[1]);
                        let row = (y * shape.stride[0] + i * shape.dilation[0])
                            .checked_sub(shape.padding[0][0])?;
                        let col = (x * shape.stride[1] + j * shape.dilation[1])
                            .checked_sub(shape.padding[1][0])?;
                        let is_inside = row < shape.height && col < shape.width;
                        is_inside.then(|| plane[row * shape.width + col])
                    })
                    .collect();
                let count = if divisor == Divisor::Window { window } else { inside.len() };
                out.push(inside.iter().sum::<f32>() / count as f32);
            }
        }
        out
    }
}
