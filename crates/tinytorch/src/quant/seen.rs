//! Which samples a model was calibrated on, so that no one judges it by them.

use super::QuantError;
use crate::Result;
use crate::files::Provenance;
use crate::tensor::{Dtype, Tensor};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes of a digest: two of 500 and 10,000 other samples fall together once in 200,000 times.
const BYTES: usize = 5;

/// The digests of samples, in their order; a file carries them as text.
///
/// ```
/// use tinytorch::{Tensor, files::Provenance, quant::SeenRows};
/// let images = Tensor::arange(12)?.reshape([3, 1, 2, 2])?;
/// let mut provenance = Provenance::default();
/// SeenRows::of(&[images.clone()])?.write(&mut provenance);
/// let seen = SeenRows::read(&provenance)?.expect("it was written");
/// let rows = SeenRows::of(&[images.slice(0, 2..3)?.reshape([1, 4])?])?;
/// assert!(rows.iter().all(|row| seen.has(row)), "a sample is known by its values, not by its shape");
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenRows {
    in_order: Vec<[u8; BYTES]>,
    sorted: Vec<[u8; BYTES]>,
}

impl SeenRows {
    /// The entry of a file's metadata that holds them.
    pub const KEY: &str = "calibration_rows";

    /// Of the samples of a model's inputs, each `[samples, ..]`; a sample is known by its values.
    ///
    /// # Errors
    /// For element types that no input has.
    pub fn of(inputs: &[Tensor]) -> Result<SeenRows> {
        let samples = inputs.first().and_then(|t| t.shape().first().copied()).unwrap_or(0);
        let mut hashes = vec![Sha256::new(); samples];
        for input in inputs {
            let bytes: Vec<[u8; 8]> = match input.dtype() {
                // In 64 bits, so that 1.0 is the same sample whatever it was stored as; -0.0 is 0.
                Dtype::F32 => {
                    let values = input.to_vec::<f32>()?.into_iter();
                    values.map(|v| (f64::from(v) + 0.0).to_le_bytes()).collect()
                }
                _ => input.to_vec::<i64>()?.into_iter().map(i64::to_le_bytes).collect(),
            };
            let width = (bytes.len() / samples.max(1)).max(1);
            for (hash, row) in hashes.iter_mut().zip(bytes.chunks(width)) {
                row.iter().for_each(|value| hash.update(value));
            }
        }
        let short = |hash: Sha256| {
            let full = hash.finalize();
            std::array::from_fn(|i| full[i])
        };
        Ok(SeenRows::new(hashes.into_iter().map(short).collect()))
    }

    fn new(in_order: Vec<[u8; BYTES]>) -> SeenRows {
        let mut sorted = in_order.clone();
        sorted.sort_unstable();
        SeenRows { in_order, sorted }
    }

    /// These samples and then others, that another machine has calibrated on say.
    pub fn followed_by(mut self, others: &SeenRows) -> SeenRows {
        self.in_order.extend(&others.in_order);
        self.sorted.extend(&others.sorted);
        // What is in order already is merged, in linear time: a calibration adds many batches one by one.
        self.sorted.sort();
        self
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// The digests in the order of the samples.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.in_order.iter().map(<[u8; BYTES]>::as_slice)
    }

    /// Whether a sample of this digest is among them.
    pub fn has(&self, row: &[u8]) -> bool {
        self.sorted.binary_search_by(|seen| seen.as_slice().cmp(row)).is_ok()
    }

    /// Puts them where [`SeenRows::read`] looks for them.
    pub fn write(&self, provenance: &mut Provenance) {
        let mut text = String::with_capacity(2 * BYTES * self.len());
        for byte in self.in_order.iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        provenance.notes.insert(SeenRows::KEY.to_string(), text);
    }

    /// Those of a file's provenance, if it tells.
    ///
    /// # Errors
    /// [`QuantError::Record`] for an entry of another form.
    pub fn read(provenance: &Provenance) -> Result<Option<SeenRows>> {
        let Some(text) = provenance.notes.get(SeenRows::KEY) else { return Ok(None) };
        let unusable = || QuantError::Record {
            problem: format!("`{}` is no list of digests in hexadecimal digits", SeenRows::KEY),
        };
        let digits = text.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = digits
            .map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                u8::from_str_radix(pair, 16).ok()
            })
            .collect();
        let bytes = bytes.filter(|bytes| bytes.len() % BYTES == 0).ok_or_else(unusable)?;
        let rows = bytes.chunks_exact(BYTES).map(|row| std::array::from_fn(|i| row[i]));
        Ok(Some(SeenRows::new(rows.collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_anything_else_refused() {
        let seen = SeenRows::of(&[Tensor::arange(8).unwrap().reshape([4, 2]).unwrap()]).unwrap();
        let mut provenance = Provenance::default();
        assert_eq!(SeenRows::read(&provenance).unwrap(), None);
        seen.write(&mut provenance);
        assert_eq!(SeenRows::read(&provenance).unwrap(), Some(seen.clone()));
        assert!(
            !seen.has(
                SeenRows::of(&[Tensor::ones([1, 2]).unwrap()]).unwrap().iter().next().unwrap()
            )
        );
        for bad in ["xy", "0", "0011", "\u{e9}\u{e9}"] {
            provenance.notes.insert(SeenRows::KEY.to_string(), bad.to_string());
            let error = SeenRows::read(&provenance).unwrap_err().to_string();
            assert!(error.contains("calibration_rows"), "{error}");
        }
    }
}
