//! The geometry of a convolution, of floats and of levels alike.

use super::Int8Error;
use super::error::checked_size;

/// The sizes of a two-dimensional convolution; one of signals is that of images with one row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Channels of an input image.
    pub in_channels: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Channels of an output image.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next, down and across.
    pub stride: [usize; 2],
    /// Pixels added above and below, left and right.
    pub padding: [[usize; 2]; 2],
    /// Input pixels from one kernel pixel to the next, down and across; 1 if they are neighbors.
    pub dilation: [usize; 2],
    /// Parts into which input and output channels are divided, convolved apart.
    pub groups: usize,
}

impl ConvShape {
    /// Refuses sizes that do not describe a convolution.
    ///
    /// # Errors
    /// A kernel, stride, dilation or number of groups of 0; channels that the groups do not divide; a
    /// kernel that spans more than the padded image.
    pub fn check(&self) -> Result<(), Int8Error> {
        let refuse = |what| Err(Int8Error::Convolution { what });
        let steps = [self.kernel, self.stride, self.dilation];
        if steps.iter().any(|step| step.contains(&0)) || self.groups == 0 {
            return refuse("kernel, stride, dilation and groups must be at least 1");
        }
        let whole = |channels: usize| channels.is_multiple_of(self.groups);
        if !whole(self.in_channels) || !whole(self.out_channels) {
            return refuse("groups must divide the input and the output channels");
        }
        let (padded, span) = (self.checked_padded()?, self.checked_span()?);
        if span[0] > padded[0] || span[1] > padded[1] {
            return refuse("kernel must not span more than the padded image");
        }
        checked_size("the padded image", &[padded[0], padded[1], self.in_channels])?;
        checked_size("the kernel", &[self.kernel[0], self.kernel[1], self.in_channels])?;
        self.input_len()?;
        self.output_len().map(drop)
    }

    fn checked_padded(&self) -> Result<[usize; 2], Int8Error> {
        let add = |size: usize, padding: [usize; 2]| {
            size.checked_add(padding[0])
                .and_then(|size| size.checked_add(padding[1]))
                .ok_or(Int8Error::TooLarge { what: "the padded image" })
        };
        Ok([add(self.height, self.padding[0])?, add(self.width, self.padding[1])?])
    }

    fn checked_span(&self) -> Result<[usize; 2], Int8Error> {
        let along = |axis: usize| {
            self.kernel[axis]
                .saturating_sub(1)
                .checked_mul(self.dilation[axis])
                .and_then(|steps| steps.checked_add(1))
                .ok_or(Int8Error::TooLarge { what: "the span of the kernel" })
        };
        Ok([along(0)?, along(1)?])
    }

    /// Rows and columns of an output image.
    ///
    /// # Errors
    /// As [`ConvShape::check`].
    pub fn output_size(&self) -> Result<[usize; 2], Int8Error> {
        let (padded, span) = (self.checked_padded()?, self.checked_span()?);
        let size = |i: usize| {
            padded[i]
                .checked_sub(span[i])
                .and_then(|moves| moves.checked_div(self.stride[i]))
                .map(|steps| steps + 1)
                .ok_or(Int8Error::Convolution { what: "kernel must fit the padded image" })
        };
        Ok([size(0)?, size(1)?])
    }

    /// Values in all input images.
    ///
    /// # Errors
    /// They exceed the address space.
    pub fn input_len(&self) -> Result<usize, Int8Error> {
        checked_size("the images", &[self.batch, self.height, self.width, self.in_channels])
    }

    /// Values in all output images.
    ///
    /// # Errors
    /// They exceed the address space, or [`ConvShape::check`] fails.
    pub fn output_len(&self) -> Result<usize, Int8Error> {
        let [height, width] = self.output_size()?;
        checked_size("the output", &[self.batch, height, width, self.out_channels])
    }

    /// Rows and columns of input from the first pixel under the kernel to the last, of a shape that
    /// [`ConvShape::check`] has accepted.
    pub(crate) fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    /// The same convolution with a dilation of 1 along every axis on which the kernel has one pixel,
    /// where it decides nothing.
    pub(crate) fn canonical(self) -> ConvShape {
        let dilation =
            [0, 1].map(|axis| if self.kernel[axis] > 1 { self.dilation[axis] } else { 1 });
        ConvShape { dilation, ..self }
    }

    /// Input pixels under the kernel.
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Weights of an output channel.
    pub(super) fn k(&self) -> usize {
        self.taps() * self.group_channels()
    }

    /// Input channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Whether each group has one input channel, and there is more than one.
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels
    }

    /// Columns of an image with those that are added.
    pub(super) fn padded_width(&self) -> usize {
        self.width + self.padding[1][0] + self.padding[1][1]
    }

    /// Whether any pixel lies outside of the image.
    pub(super) fn is_padded(&self) -> bool {
        self.padding != [[0; 2]; 2]
    }
}
