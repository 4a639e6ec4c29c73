//! Where the windows of convolutions and pools lie: the shape rules, without any numbers.
//!
//! A signal `[batch, channels, length]` is an image `[batch, channels, 1, length]`.

mod conv;
mod error;
mod pool;
mod shortcut;
mod windows;

pub use conv::ConvGeometry;
pub use error::GeometryError;
pub use pool::PoolGeometry;
pub use shortcut::ShortcutGeometry;

use crate::Result;
use crate::tensor::{Shape, TensorError};

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
