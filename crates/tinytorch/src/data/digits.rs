//! The embedded handwritten digits.

use super::decode_idx;
use super::labeled::{Examples, Labeled, as_inputs, as_labels};
use crate::Result;

const IMAGES: &[u8] = include_bytes!("../../data/digits/images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../data/digits/labels-idx1-ubyte.gz");

/// A pixel counts the set bits in a 4x4 block of the scanned bitmap.
const FULL_SCALE: u8 = 16;
const HELD_OUT: usize = 360;
const SPLIT_SEED: u64 = 0;

/// The handwritten digits that ship with the library: 1,797 images of 8x8 pixels.
///
/// Inputs are f32 `[n, 1, 8, 8]` in 0..1. The test part is always the same 360 images, 35 to 37 of
/// each digit; the other 1,437 are for training and calibration.
///
/// Source: E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
/// Repository, 1998, <https://doi.org/10.24432/C50P49>, CC BY 4.0.
///
/// ```
/// use tinytorch::data::{Dataset, digits};
/// let data = digits()?;
/// assert_eq!(data.train.inputs().shape().dims(), [1437, 1, 8, 8]);
/// assert_eq!(data.test.unwrap().len(), 360);
/// assert_eq!(data.classes, 10);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// None: the embedded files are checked by the tests.
pub fn digits() -> Result<Labeled> {
    let images = as_inputs(&decode_idx("the embedded digits", IMAGES)?, FULL_SCALE)?;
    let labels = as_labels(&decode_idx("the embedded labels", LABELS)?, "the embedded labels")?;
    Labeled::new("digits", Examples::new(images, labels)?, None)?.hold_out(HELD_OUT, SPLIT_SEED)
}
