//! Pooling of float images, NCHW.

use super::split::{Rows, in_pieces};
use crate::Isa;
use crate::pool::PoolShape;
use crate::isa::{Kernel, Simd};

/// Pixels of an input image from which planes are worth a second thread.
const LEAST: usize = 1 << 16;

/// What a window becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Its largest value; NaN if it has one.
    Max,
    /// The sum of its values over its size, padding included.
    Average,
    /// The mean of its values that are not padding.
    AverageInside,
}

/// Pools `x`, which is `[batch, channels, height, width]`.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::pool::{Pool, pool2d};
/// use tinytorch_kernels::pool::PoolShape;
///
/// let shape = PoolShape {
///     batch: 1, channels: 1, height: 2, width: 4, kernel: [2, 2], stride: [2, 2], padding: [0, 0],
/// };
/// let x = [1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0];
/// let mut y = [0.0; 2];
/// pool2d(Isa::active(), Pool::Max, &shape, &x, &mut y);
/// assert_eq!(y, [9.0, 7.0]);
/// pool2d(Isa::active(), Pool::Average, &shape, &x, &mut y);
/// assert_eq!(y, [5.0, 5.0]);
/// ```
///
/// # Panics
/// If the geometry is impossible ([`PoolShape::output_size`]), or a length does not match it.
pub fn pool2d(isa: Isa, pool: Pool, shape: &PoolShape, x: &[f32], out: &mut [f32]) {
    let Some(output) = shape.output_size() else { panic!("impossible windows: {shape:?}") };
    let (planes, plane_in) = (shape.batch * shape.channels, shape.height * shape.width);
    let plane_out = output[0] * output[1];
    assert_eq!(x.len(), planes * plane_in, "the images do not match the shape");
    assert_eq!(out.len(), planes * plane_out, "the output does not match the shape");
    let rows = (Rows { values: out, width: plane_out }, Rows { values: x, width: plane_in });
    in_pieces(rows, (LEAST / plane_in.max(1)).max(1), &|(out, x)| {
        let mut row = vec![0.0; shape.width];
        let (x, out) = (x.values, out.values);
        isa.run(Planes { pool, shape, output, x, row: &mut row, out });
    });
}

struct Planes<'a> {
    pool: Pool,
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
        let Self { pool, shape, output: [out_height, out_width], x, row, out } = self;
        let PoolShape { height, width, kernel, .. } = *shape;
        let planes =
            x.chunks_exact(height * width).zip(out.chunks_exact_mut(out_height * out_width));
        for (x, out) in planes {
            for (y, out) in out.chunks_exact_mut(out_width).enumerate() {
                // Down the columns first, which vectors do, and then along the row.
                let rows = shape.window(0, height, y);
                row.fill(pool.neutral());
                for x in x[rows.start * width..rows.end * width].chunks_exact(width) {
                    row.iter_mut().zip(x).for_each(|(all, x)| *all = pool.combine(*all, *x));
                }
                for (i, out) in out.iter_mut().enumerate() {
                    let columns = shape.window(1, width, i);
                    let inside = rows.len() * columns.len();
                    let all =
                        row[columns].iter().fold(pool.neutral(), |all, x| pool.combine(all, *x));
                    *out = match pool {
                        Pool::Max => all,
                        Pool::Average => all / (kernel[0] * kernel[1]) as f32,
                        Pool::AverageInside => all / inside as f32,
                    };
                }
            }
        }
    }
}

impl Pool {
    #[inline(always)]
    fn neutral(self) -> f32 {
        if self == Pool::Max { f32::NEG_INFINITY } else { 0.0 }
    }

    #[inline(always)]
    fn combine(self, all: f32, x: f32) -> f32 {
        match self {
            Pool::Max if all > x || all.is_nan() => all,
            Pool::Max => x,
            Pool::Average | Pool::AverageInside => all + x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_pooled_as_defined() {
        let plain = PoolShape {
            batch: 2,
            channels: 3,
            height: 6,
            width: 7,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
        };
        let shapes = [
            plain,
            PoolShape { kernel: [3, 3], padding: [1, 1], ..plain },
            PoolShape { kernel: [3, 2], stride: [1, 3], padding: [1, 0], ..plain },
            PoolShape { kernel: [6, 7], stride: [1, 1], ..plain },
            PoolShape { height: 70, width: 80, batch: 10, ..plain },
        ];
        for shape in shapes {
            let len = shape.batch * shape.channels * shape.height * shape.width;
            let x: Vec<f32> = (0..len).map(|i| ((i * 7919) % 101) as f32 - 50.0).collect();
            for pool in [Pool::Max, Pool::Average, Pool::AverageInside] {
                let want = expected(pool, &shape, &x);
                for isa in Isa::available() {
                    let mut got = vec![0.0; want.len()];
                    pool2d(isa, pool, &shape, &x, &mut got);
                    // Sums of small integers are exact in any order.
                    assert_eq!(got, want, "{pool:?} {shape:?}");
                }
            }
        }
    }

    fn expected(pool: Pool, shape: &PoolShape, x: &[f32]) -> Vec<f32> {
        let [height, width] = shape.output_size().unwrap();
        let mut out = Vec::new();
        for plane in x.chunks_exact(shape.height * shape.width) {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let mut inside = Vec::new();
                for tap in 0..shape.kernel[0] * shape.kernel[1] {
                    let (i, j) = (tap / shape.kernel[1], tap % shape.kernel[1]);
                    let row = (y * shape.stride[0] + i).wrapping_sub(shape.padding[0]);
                    let col = (x * shape.stride[1] + j).wrapping_sub(shape.padding[1]);
                    if row < shape.height && col < shape.width {
                        inside.push(plane[row * shape.width + col]);
                    }
                }
                let sum: f32 = inside.iter().sum();
                out.push(match pool {
                    Pool::Max => inside.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                    Pool::Average => sum / (shape.kernel[0] * shape.kernel[1]) as f32,
                    Pool::AverageInside => sum / inside.len() as f32,
                });
            }
        }
        out
    }

    #[test]
    fn nan_is_not_hidden() {
        let shape = PoolShape {
            batch: 1,
            channels: 1,
            height: 1,
            width: 4,
            kernel: [1, 2],
            stride: [1, 1],
            padding: [0, 0],
        };
        for isa in Isa::available() {
            let mut y = [0.0; 3];
            pool2d(isa, Pool::Max, &shape, &[1.0, f32::NAN, 2.0, 3.0], &mut y);
            assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 3.0);
        }
    }
}
