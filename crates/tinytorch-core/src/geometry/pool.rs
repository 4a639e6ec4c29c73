//! How pools move.

use super::windows::Windows;
use super::{GeometryError, image_dims};
use crate::Result;
use crate::tensor::{Shape, TensorError};
use tinytorch_kernels::pool::PoolShape;

/// How a pool's window moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows added above and below the image, columns added left and right, each at most half of what a
    /// window spans.
    pub padding: [[usize; 2]; 2],
    /// Rows and columns from one of a window's entries to the next; 1 if they are neighbors.
    pub dilation: [usize; 2],
}

impl PoolGeometry {
    /// Square windows side by side.
    pub fn square(kernel: usize) -> PoolGeometry {
        PoolGeometry {
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [[0; 2]; 2],
            dilation: [1, 1],
        }
    }

    /// Windows side by side over signals, which are images of one row.
    pub fn of_signals(kernel: usize) -> PoolGeometry {
        PoolGeometry { kernel: [1, kernel], stride: [1, kernel], ..PoolGeometry::square(1) }
    }

    /// The same with this stride in both directions; along one row, in the one there is.
    pub fn with_stride(self, stride: usize) -> PoolGeometry {
        PoolGeometry { stride: [stride; 2], ..self }
    }

    /// The same with this padding on every side.
    pub fn with_padding(self, padding: usize) -> PoolGeometry {
        PoolGeometry { padding: [[padding; 2]; 2], ..self }
    }

    /// The same with padding of its own on each side: above and below, left and right.
    pub fn with_pads(self, padding: [[usize; 2]; 2]) -> PoolGeometry {
        PoolGeometry { padding, ..self }
    }

    /// The same with this distance between the entries of a window in both directions.
    pub fn with_dilation(self, dilation: usize) -> PoolGeometry {
        PoolGeometry { dilation: [dilation; 2], ..self }
    }

    /// The output's shape: `[n, c, h, w]` gives `[n, c, oh, ow]`. `op` names the pool in errors.
    ///
    /// # Errors
    /// [`GeometryError`], or [`TensorError::Shape`] unless the input has four dimensions and pixels.
    pub fn output(&self, op: &'static str, input: &Shape) -> Result<Shape> {
        let [batch, channels, h, w] = image_dims(op, input)?;
        if h * w == 0 {
            let expected = "the images must have pixels".into();
            return Err(TensorError::Shape { op, shape: *input, expected }.into());
        }
        let PoolGeometry { kernel, stride, padding, dilation } = *self;
        Shape::new(&kernel)?;
        let windows = Windows { op, kernel, stride, padding, dilation };
        windows.check()?;
        let span = windows.span();
        if (0..2).any(|i| padding[i].iter().any(|pad| *pad > span[i] / 2)) {
            return Err(GeometryError::PaddingTooLarge { op, padding, kernel: span }.into());
        }
        let [oh, ow] = windows.count([h, w])?;
        Ok(Shape::new(&[batch, channels, oh, ow])?)
    }

    /// The sizes that kernels take.
    ///
    /// # Errors
    /// As [`PoolGeometry::output`], and [`GeometryError::OutsideImage`] where the gaps of a window could
    /// leave it without a pixel of the image.
    pub(crate) fn kernel_shape(&self, op: &'static str, input: &Shape) -> Result<PoolShape> {
        self.output(op, input)?;
        let PoolGeometry { kernel, stride, padding, dilation } = *self;
        let (batch, channels, height, width) = (input[0], input[1], input[2], input[3]);
        let shape = PoolShape { batch, channels, height, width, kernel, stride, padding, dilation };
        match shape.output_size() {
            Some(_) => Ok(shape),
            None => {
                let image = [height, width];
                Err(GeometryError::OutsideImage { op, kernel, dilation, image }.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn output_sizes_are_pytorchs() {
        let pool = PoolGeometry::square(3).with_stride(2).with_padding(1);
        let output = |pool: PoolGeometry, dims: &[usize]| {
            pool.output("max_pool2d", &shape(dims)).unwrap().dims().to_vec()
        };
        assert_eq!(output(pool, &[2, 3, 32, 32]), [2, 3, 16, 16]);
        // (1 + 32 + 0 - 5) / 2 + 1 and (0 + 32 + 2 - 5) / 2 + 1.
        let pads = pool.with_dilation(2).with_pads([[1, 0], [0, 2]]);
        assert_eq!(output(pads, &[2, 3, 32, 32]), [2, 3, 15, 15]);
        assert_eq!(output(PoolGeometry::of_signals(3), &[2, 3, 1, 10]), [2, 3, 1, 3]);
    }

    #[test]
    fn impossible_windows_are_typed_errors() {
        let (op, x) = ("max_pool2d", shape(&[1, 4, 5, 5]));
        let no_pixels = PoolGeometry::square(2).with_padding(1).output(op, &shape(&[1, 1, 0, 4]));
        assert!(no_pixels.unwrap_err().to_string().contains("must have pixels"));
        let error = |pool: PoolGeometry, x: &Shape| match pool.kernel_shape(op, x).unwrap_err() {
            Error::Geometry(error) => error,
            other => panic!("{other}"),
        };
        let padding = error(PoolGeometry::square(2).with_padding(2), &x);
        assert!(matches!(padding, GeometryError::PaddingTooLarge { .. }));
        let dilation = error(PoolGeometry::square(2).with_dilation(0), &x);
        assert!(matches!(dilation, GeometryError::ZeroDilation { .. }));
        let gaps = PoolGeometry::square(2).with_padding(3).with_dilation(6);
        let outside = error(gaps, &shape(&[1, 4, 2, 2]));
        assert!(matches!(outside, GeometryError::OutsideImage { .. }), "{outside}");
    }
}
