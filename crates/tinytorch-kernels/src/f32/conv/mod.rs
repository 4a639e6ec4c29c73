//! Two-dimensional convolution of float images, NCHW: in transformed tiles where the kernel is 3 x 3 and channels are
//! many, straight from the image, or from a copy that suits its rows, where outputs fill vectors, channel by channel
//! where it is depthwise, and as products of matrices otherwise, as gradients always are.
//!
//! For each image and group, with W the weights as a matrix (output channels x values of a window)
//! and X the matrix of windows ([`Unfolded`](super::gemm::Unfolded)): Y = W X, dX = W^T dY folded back
//! onto the image, dW = dY X^T.

mod alone;
mod backward;
mod copied;
mod depthwise;
mod direct;
mod ending;
mod forward;
mod joined;
mod strip;
#[cfg(test)]
mod tests;
mod winograd;

pub use backward::{conv2d_backward_input, conv2d_backward_weight};
pub use ending::Ending;
pub use forward::{ConvWeight, PackedConvWeight, conv2d};

use crate::int8::ConvShape;

/// The lengths of the arrays of a convolution.
#[derive(Clone, Copy)]
struct Lengths {
    /// Values in a group of an input image.
    group_in: usize,
    /// Values in a group of an output image.
    group_out: usize,
    /// Output channels of a group.
    channels_out: usize,
    /// Values in a window.
    window: usize,
    /// Rows and columns of an output channel.
    output: [usize; 2],
    /// Pixels of an output channel.
    pixels: usize,
}

impl Lengths {
    /// # Panics
    /// If the shape is not that of a convolution.
    #[track_caller]
    fn of(shape: &ConvShape) -> Self {
        let [height, width] = match shape.check().and_then(|()| shape.output_size()) {
            Ok(size) => size,
            Err(error) => panic!("{error}"),
        };
        let channels_in = shape.in_channels / shape.groups;
        let channels_out = shape.out_channels / shape.groups;
        Self {
            group_in: channels_in * shape.height * shape.width,
            group_out: channels_out * height * width,
            channels_out,
            window: channels_in * shape.kernel[0] * shape.kernel[1],
            output: [height, width],
            pixels: height * width,
        }
    }

    fn group_weight(&self) -> usize {
        self.channels_out * self.window
    }
}

#[track_caller]
fn check_len(what: &str, given: usize, wanted: usize) {
    assert!(given == wanted, "the {what} must have {wanted} values, not {given}");
}
