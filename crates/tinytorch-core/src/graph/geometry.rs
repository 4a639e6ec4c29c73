//! Where the windows of convolutions and pools lie: the shape rules, without any numbers.
//!
//! Along an axis of `size` entries, padded with `padding` on both sides, windows of `kernel` entries
//! start every `stride` entries, so there are `(size + 2 padding - kernel) / stride + 1` of them.

use crate::Result;
use crate::tensor::{Shape, TensorError};
use tinytorch_kernels::int8::ConvShape;

/// What is wrong with the windows of a convolution or pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A stride of 0.
    #[error("{op}: the stride is {stride:?}; both entries must be at least 1")]
    ZeroStride {
        /// The operation.
        op: &'static str,
        /// The stride given.
        stride: [usize; 2],
    },
    /// A window without entries.
    #[error("{op}: the kernel size is {kernel:?}; both entries must be at least 1")]
    EmptyKernel {
        /// The operation.
        op: &'static str,
        /// The kernel size given.
        kernel: [usize; 2],
    },
    /// A window that does not fit into the image.
    #[error(
        "{op}: a window of {kernel:?} does not fit an image of {image:?} padded by {padding:?}; use a smaller kernel or more padding"
    )]
    KernelTooLarge {
        /// The operation.
        op: &'static str,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Height and width of the image.
        image: [usize; 2],
        /// Rows and columns added on each side.
        padding: [usize; 2],
    },
    /// Padding so large that a window could lie in it completely.
    #[error("{op}: padding {padding:?} is more than half of the window {kernel:?}")]
    PaddingTooLarge {
        /// The operation.
        op: &'static str,
        /// Rows and columns added on each side.
        padding: [usize; 2],
        /// Height and width of the window.
        kernel: [usize; 2],
    },
    /// Channels that do not divide into the groups.
    #[error(
        "conv2d: {groups} groups do not divide {in_channels} input and {out_channels} output channels; both must be multiples of the groups"
    )]
    Groups {
        /// Number of groups.
        groups: usize,
        /// Number of input channels.
        in_channels: usize,
        /// Number of output channels.
        out_channels: usize,
    },
}

/// How a convolution's kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side of the image.
    pub padding: [usize; 2],
    /// Parts the channels are divided into, each convolved on its own; as many as channels for a
    /// depthwise convolution.
    pub groups: usize,
}

impl Default for ConvGeometry {
    /// Stride 1, no padding, one group.
    fn default() -> Self {
        ConvGeometry { stride: [1, 1], padding: [0, 0], groups: 1 }
    }
}

impl ConvGeometry {
    /// The same with this stride in both directions.
    pub fn with_stride(self, stride: usize) -> ConvGeometry {
        ConvGeometry { stride: [stride; 2], ..self }
    }

    /// The same with this padding in both directions.
    pub fn with_padding(self, padding: usize) -> ConvGeometry {
        ConvGeometry { padding: [padding; 2], ..self }
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
            padding: self.padding.map(|pad| [pad; 2]),
            dilation: [1, 1],
            groups: self.groups,
        }
    }

    /// Whether a layer of these sizes can exist, whatever the image.
    ///
    /// # Errors
    /// [`GeometryError`] for a stride or kernel of 0 and for groups that do not divide the channels.
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
        Windows { op: "conv2d", kernel, stride: self.stride, padding: self.padding }
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

/// How a pool's window moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns added on each side of the image, at most half a window.
    pub padding: [usize; 2],
}

impl PoolGeometry {
    /// Square windows side by side.
    pub fn square(kernel: usize) -> PoolGeometry {
        PoolGeometry { kernel: [kernel; 2], stride: [kernel; 2], padding: [0, 0] }
    }

    /// The same with this stride in both directions.
    pub fn with_stride(self, stride: usize) -> PoolGeometry {
        PoolGeometry { stride: [stride; 2], ..self }
    }

    /// The same with this padding in both directions.
    pub fn with_padding(self, padding: usize) -> PoolGeometry {
        PoolGeometry { padding: [padding; 2], ..self }
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
        let PoolGeometry { kernel, stride, padding } = *self;
        Shape::new(&kernel)?;
        if (0..2).any(|i| padding[i] > kernel[i] / 2) {
            return Err(GeometryError::PaddingTooLarge { op, padding, kernel }.into());
        }
        let [oh, ow] = Windows { op, kernel, stride, padding }.count([h, w])?;
        Ok(Shape::new(&[batch, channels, oh, ow])?)
    }
}

/// How a shortcut without parameters makes images fit others that are smaller and have more channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortcutGeometry {
    /// Every so many rows and columns one is kept.
    pub stride: usize,
    /// Channels of the output: the input's between zeros, one more of them after than before if their
    /// number is odd.
    pub channels: usize,
}

impl ShortcutGeometry {
    /// The output's shape: `[n, c, h, w]` gives `[n, channels, ceil(h / stride), ceil(w / stride)]`. `op`
    /// names the shortcut in errors.
    ///
    /// # Errors
    /// [`TensorError::Shape`] for a stride of 0, fewer channels than the images have, and what is no
    /// batch of images.
    pub fn output(&self, op: &'static str, input: &Shape) -> Result<Shape> {
        let [batch, channels, height, width] = image_dims(op, input)?;
        if self.stride == 0 || channels > self.channels {
            let expected = format!(
                "a stride of {} to {} channels must be positive and drop no channel",
                self.stride, self.channels
            );
            return Err(TensorError::Shape { op, shape: *input, expected }.into());
        }
        let side = |size: usize| size.div_ceil(self.stride);
        Ok(Shape::new(&[batch, self.channels, side(height), side(width)])?)
    }

    /// Zero channels before those of an image of `channels`.
    pub(crate) fn zeros_before(&self, channels: usize) -> usize {
        (self.channels - channels) / 2
    }
}

/// The four dimensions of a batch of images.
///
/// # Errors
/// [`TensorError::Shape`] unless there are four.
pub(crate) fn image_dims(op: &'static str, input: &Shape) -> Result<[usize; 4]> {
    input.dims().try_into().map_err(|_| {
        let expected = "images are [batch, channels, height, width]".into();
        TensorError::Shape { op, shape: *input, expected }.into()
    })
}

struct Windows {
    op: &'static str,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Windows {
    fn check(&self) -> Result<(), GeometryError> {
        let Windows { op, kernel, stride, .. } = *self;
        if stride.contains(&0) {
            return Err(GeometryError::ZeroStride { op, stride });
        }
        if kernel.contains(&0) {
            return Err(GeometryError::EmptyKernel { op, kernel });
        }
        Ok(())
    }

    /// Number of windows down and across.
    fn count(&self, image: [usize; 2]) -> Result<[usize; 2], GeometryError> {
        self.check()?;
        let Windows { op, kernel, stride, padding } = *self;
        let along = |i: usize| {
            // Padding that overflows is as impossible to fit as too little of it.
            let padded = padding[i].checked_mul(2)?.checked_add(image[i])?;
            Some(padded.checked_sub(kernel[i])? / stride[i] + 1)
        };
        match (along(0), along(1)) {
            (Some(down), Some(across)) => Ok([down, across]),
            _ => Err(GeometryError::KernelTooLarge { op, kernel, image, padding }),
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
        let g = ConvGeometry::default();
        let (x, w) = (shape(&[2, 3, 32, 32]), shape(&[16, 3, 3, 3]));
        assert_eq!(g.output(&x, &w).unwrap().dims(), [2, 16, 30, 30]);
        assert_eq!(g.with_padding(1).output(&x, &w).unwrap().dims(), [2, 16, 32, 32]);
        assert_eq!(g.with_padding(1).with_stride(2).output(&x, &w).unwrap().dims()[2..], [16, 16]);
        let pool = PoolGeometry::square(3).with_stride(2).with_padding(1);
        assert_eq!(pool.output("max_pool2d", &x).unwrap().dims(), [2, 3, 16, 16]);
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
        let no_pixels =
            PoolGeometry::square(2).with_padding(1).output("max_pool2d", &shape(&[1, 1, 0, 4]));
        assert!(no_pixels.unwrap_err().to_string().contains("must have pixels"));
        for groups in [0, 3, 4] {
            let groups = geometry(error(g.with_groups(groups), &x, &w));
            assert!(matches!(groups, GeometryError::Groups { .. }));
        }
        let channels = error(g.with_groups(2), &x, &w);
        assert!(channels.to_string().contains("divided by the groups"), "{channels}");
        let padding = PoolGeometry::square(2).with_padding(2).output("max_pool2d", &x);
        assert!(matches!(geometry(padding.unwrap_err()), GeometryError::PaddingTooLarge { .. }));
    }
}
