//! The embedded handwritten digits.

use super::labeled::{Examples, Labeled, as_inputs, as_labels};
use super::{Dataset, decode_idx};
use crate::{Result, Tensor};

const IMAGES: &[u8] = include_bytes!("../../data/digits/images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../data/digits/labels-idx1-ubyte.gz");

/// A pixel counts the set bits in a 4x4 block of the scanned bitmap.
const FULL_SCALE: u8 = 16;
const HELD_OUT: usize = 360;
const SPLIT_SEED: u64 = 0;

/// More samples to judge by, every fifth of the others from the last one back: with 360 alone, two models
/// that agree on every one of them may still differ on more than 1 % of all digits (381 are needed, and
/// 561 with one on which they differ).
const MORE_HELD_OUT: usize = 240;
const EVERY: usize = 5;

/// The handwritten digits that ship with the library: 1,797 images of 8x8 pixels.
///
/// Inputs are f32 `[n, 1, 8, 8]` in 0..1. The test part is always the same 600 images, about 60 of
/// each digit; the other 1,197 are for training and calibration.
///
/// Source: E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
/// Repository, 1998, <https://doi.org/10.24432/C50P49>, CC BY 4.0.
///
/// ```
/// use tinytorch::data::{Dataset, digits};
/// let data = digits()?;
/// assert_eq!(data.train.inputs().shape().dims(), [1197, 1, 8, 8]);
/// assert_eq!(data.test.unwrap().len(), 600);
/// assert_eq!(data.classes, 10);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// None: the embedded files are checked by the tests.
pub fn digits() -> Result<Labeled> {
    let images = as_inputs(&decode_idx("the embedded digits", IMAGES)?, FULL_SCALE)?;
    let labels = as_labels(&decode_idx("the embedded labels", LABELS)?, "the embedded labels")?;
    let all = Labeled::new("digits", Examples::new(images, labels)?, None)?;
    let Labeled { train, test, .. } = all.clone().hold_out(HELD_OUT, SPLIT_SEED)?;
    let more: Vec<usize> = (0..MORE_HELD_OUT).rev().map(|i| train.len() - 1 - i * EVERY).collect();
    let kept: Vec<usize> = (0..train.len()).filter(|i| more.binary_search(i).is_err()).collect();
    let more = train.select(&more)?;
    let test = test.map_or_else(|| Ok(more.clone()), |test| joined(&test, &more))?;
    Ok(Labeled { train: train.select(&kept)?, test: Some(test), ..all })
}

fn joined(a: &Examples, b: &Examples) -> Result<Examples> {
    let inputs = Tensor::cat::<f32>(&[a.inputs().clone(), b.inputs().clone()], 0)?;
    Examples::new(inputs, Tensor::cat::<i64>(&[a.labels().clone(), b.labels().clone()], 0)?)
}
