//! The binary layout of CIFAR-10: per image one label byte, then 3,072 pixel bytes, channel by
//! channel and row by row (described at <https://www.cs.toronto.edu/~kriz/cifar.html>).

use super::DataError;
use super::source::Source;
use crate::{Result, Tensor};
use std::path::Path;

const PIXELS: usize = 3 * 32 * 32;

/// Number of classes, from airplane to truck.
pub(super) const CLASSES: usize = 10;

/// Reads a CIFAR-10 file, plain or gzipped: images u8 `[n, 3, 32, 32]` and labels i64 `[n]`.
///
/// # Errors
/// A [`DataError`] that names the file: it cannot be read, is empty, ends within an image, or holds
/// a label of 10 or more.
pub fn read_cifar10(path: impl AsRef<Path>) -> Result<(Tensor, Tensor)> {
    read(Source::open(path.as_ref())?)
}

/// As [`read_cifar10`], from bytes in memory that errors call `name`.
///
/// ```
/// use tinytorch::data::decode_cifar10;
/// let mut record = vec![255; 3073];
/// record[0] = 7;
/// let (images, labels) = decode_cifar10("one.bin", &record)?;
/// assert_eq!(images.shape().dims(), [1, 3, 32, 32]);
/// assert_eq!(labels.to_vec::<i64>()?, [7]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`read_cifar10`].
pub fn decode_cifar10(name: &str, bytes: &[u8]) -> Result<(Tensor, Tensor)> {
    read(Source::bytes(name, bytes)?)
}

fn read(mut source: Source<'_>) -> Result<(Tensor, Tensor)> {
    let mut pixels: Vec<u8> = Vec::new();
    let mut labels: Vec<i64> = Vec::new();
    while !source.at_end()? {
        let [label] = source.array("an image")?;
        if usize::from(label) >= CLASSES {
            let (file, index) = (source.name().to_owned(), labels.len());
            let label = label.to_string();
            return Err(DataError::Label { file, index, label, classes: CLASSES }.into());
        }
        labels.push(label.into());
        let filled = pixels.len();
        source.require("an image", Some(PIXELS as u64))?;
        pixels.resize(filled + PIXELS, 0);
        source.fill("an image", &mut pixels[filled..])?;
    }
    if labels.is_empty() {
        return Err(source.malformed("it holds no image".into()));
    }
    let n = labels.len();
    Ok((Tensor::from_vec(pixels, [n, 3, 32, 32])?, Tensor::from_vec(labels, [n])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        decode_cifar10("c.bin", bytes).unwrap_err().to_string()
    }

    #[test]
    fn records_are_a_label_and_its_pixels() {
        let mut bytes = vec![0u8; 2 * 3073];
        bytes[3073] = 9;
        bytes[3074] = 200;
        let (images, labels) = decode_cifar10("c", &bytes).unwrap();
        assert_eq!(labels.to_vec::<i64>().unwrap(), [0, 9]);
        assert_eq!(images.select(0, 1).unwrap().to_vec::<u8>().unwrap()[..2], [200, 0]);
    }

    #[test]
    fn damage_is_named() {
        assert!(error(&[1; 3072]).contains("c.bin is truncated"));
        assert!(error(&[10; 3073]).contains("label 10 of sample 0"));
        assert!(error(&[]).contains("no image"));
    }
}
