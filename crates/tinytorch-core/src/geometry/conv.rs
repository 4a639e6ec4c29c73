//! How convolutions move.

use super::GeometryError;
use super::windows::Windows;
use crate::Result;
use crate::tensor::{Shape, TensorError};
use tinytorch_kernels::int8::ConvShape;

/// How a convolution's kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows of zeros above and below the image, columns of zeros left and right of it.
    pub padding: [[usize; 2]; 2],
    /// Rows and columns from one of a window's entries to the next; 1 if they are neighbors.
    pub dilation: [usize; 2],
    /// Parts the channels are divided into, each convolved on its own; as many as channels for a
    /// depthwise convolution.
    pub groups: usize,
}

impl Default for ConvGeometry {
    /// Stride 1, no padding, windows without gaps, one group.
    fn default() -> Self {
        ConvGeometry { stride: [1, 1], padding: [[0; 2]; 2], dilation: [1, 1], groups: 1 }
    }
}

impl ConvGeometry {
    /// The same with this stride in both directions.
    pub fn with_stride(self, stride: usize) -> ConvGeometry {
        ConvGeometry { stride: [stride; 2], ..self }
    }

    /// The same with this padding on every side.
    pub fn with_padding(self, padding: usize) -> ConvGeometry {
        ConvGeometry { padding: [[padding; 2]; 2], ..self }
    }

    /// The same with padding of its own on each side: above and below, left and right.
    pub fn with_pads(self, padding: [[usize; 2]; 2]) -> ConvGeometry {
        ConvGeometry { padding, ..self }
    }

    /// The same with this distance between the entries of a window in both directions.
    pub fn with_dilation(self, dilation: usize) -> ConvGeometry {
        ConvGeometry { dilation: [dilation; 2], ..self }
    }

    /// The same for signals, which are images of one row: nothing moves, pads or spreads from row to
    /// row.
    pub fn of_signals(self) -> ConvGeometry {
        let [[_, stride], [_, dilation]] = [self.stride, self.dilation];
        let padding = [[0; 2], self.padding[1]];
        ConvGeometry { stride: [1, stride], padding, dilation: [1, dilation], ..self }
    }

    /// The same with this number of groups.
    pub fn with_groups(self, groups: usize) -> ConvGeometry {
        ConvGeometry { groups, ..self }
    }

    /// The sizes that kernels take, for shapes that [`ConvGeometry::output`] has accepted.
    pub(crate) fn kernel_shape(&self, input: &Shape, weight: &Shape) -> ConvShape {
        ConvShape {
            batch: input[0],
            in_channels: input[1],
            height: input[2],
            width: input[3],
            out_channels: weight[0],
            kernel: [weight[2], weight[3]],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }

    /// Whether a layer of these sizes can exist, whatever the image.
    ///
    /// # Errors
    /// [`GeometryError`] for a stride, dilation or kernel of 0 and for groups that do not divide the channels.
    pub fn check(
        &self,
        in_channels: usize,
        out_channels: usize,
        kernel: [usize; 2],
    ) -> Result<(), GeometryError> {
        let groups = self.groups;
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        if !divides(in_channels) || !divides(out_channels) {
            return Err(GeometryError::Groups { groups, in_channels, out_channels });
        }
        self.windows(kernel).check()
    }

    fn windows(&self, kernel: [usize; 2]) -> Windows {
        let ConvGeometry { stride, padding, dilation, .. } = *self;
        Windows { op: "conv2d", kernel, stride, padding, dilation }
    }

    /// The output's shape: `input` `[n, c, h, w]` and `weight` `[out, c / groups, kh, kw]` give
    /// `[n, out, oh, ow]`.
    ///
    /// # Errors
    /// [`GeometryError`], or [`TensorError::Mismatch`] if the shapes do not fit each other.
    pub fn output(&self, input: &Shape, weight: &Shape) -> Result<Shape> {
        let mismatch = |expected| TensorError::Mismatch {
            op: "conv2d",
            left: *input,
            right: *weight,
            expected,
        };
        let (&[batch, channels, h, w], &[out, per_group, kh, kw]) = (input.dims(), weight.dims())
        else {
            return Err(mismatch(
                "the input is [batch, channels, height, width], the weight [out, in / groups, height, width]",
            )
            .into());
        };
        self.check(channels, out, [kh, kw])?;
        if per_group != channels / self.groups {
            return Err(mismatch(
                "the weight's second dimension must be the input's channels divided by the groups",
            )
            .into());
        }
        let [oh, ow] = self.windows([kh, kw]).count([h, w])?;
        let output = Shape::new(&[batch, out, oh, ow])?;
        // A large stride makes few windows even of an image whose padding no memory could hold.
        self.kernel_shape(input, weight).check()?;
        Ok(output)
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
        let g = ConvGeometry::default();
        let (x, w) = (shape(&[2, 3, 32, 32]), shape(&[16, 3, 3, 3]));
        assert_eq!(g.output(&x, &w).unwrap().dims(), [2, 16, 30, 30]);
        assert_eq!(g.with_padding(1).output(&x, &w).unwrap().dims(), [2, 16, 32, 32]);
        assert_eq!(g.with_padding(1).with_stride(2).output(&x, &w).unwrap().dims()[2..], [16, 16]);
    }

    #[test]
    fn dilation_and_pads_per_side_are_pytorchs() {
        let g = ConvGeometry::default().with_dilation(2).with_pads([[1, 0], [2, 3]]);
        let (x, w) = (shape(&[2, 3, 10, 11]), shape(&[4, 3, 3, 2]));
        // (1 + 10 + 0 - 5) / 1 + 1 and (2 + 11 + 3 - 3) / 1 + 1.
        assert_eq!(g.output(&x, &w).unwrap().dims(), [2, 4, 7, 14]);
        let signals = g.with_stride(2).of_signals();
        let (x, w) = (shape(&[2, 3, 1, 11]), shape(&[4, 3, 1, 2]));
        assert_eq!(signals.output(&x, &w).unwrap().dims(), [2, 4, 1, 7]);
        assert!(g.with_dilation(0).output(&x, &w).unwrap_err().to_string().contains("dilation"));
    }

    #[test]
    fn impossible_windows_are_typed_errors() {
        let g = ConvGeometry::default();
        let (x, w) = (shape(&[1, 4, 5, 5]), shape(&[6, 4, 3, 3]));
        let error = |g: ConvGeometry, x: &Shape, w: &Shape| g.output(x, w).unwrap_err();
        let geometry = |e: Error| match e {
            Error::Geometry(e) => e,
            other => panic!("{other}"),
        };
        let stride = geometry(error(g.with_stride(0), &x, &w));
        assert!(matches!(stride, GeometryError::ZeroStride { .. }));
        let large = geometry(error(g, &shape(&[1, 4, 2, 5]), &w));
        assert!(matches!(large, GeometryError::KernelTooLarge { image: [2, 5], .. }));
        let overflow = geometry(error(g.with_padding(usize::MAX), &x, &w));
        assert!(matches!(overflow, GeometryError::KernelTooLarge { .. }));
        let (wide, far) = (g.with_padding(1 << 45).with_stride(1 << 45), &shape(&[1, 4, 5, 5]));
        assert!(wide.output(far, &w).is_err());
        for groups in [0, 3, 4] {
            let groups = geometry(error(g.with_groups(groups), &x, &w));
            assert!(matches!(groups, GeometryError::Groups { .. }));
        }
        let channels = error(g.with_groups(2), &x, &w);
        assert!(channels.to_string().contains("divided by the groups"), "{channels}");
    }
}
