//! The shortcut without parameters of residual networks.

use super::image_dims;
use crate::Result;
use crate::tensor::{Shape, TensorError};

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
