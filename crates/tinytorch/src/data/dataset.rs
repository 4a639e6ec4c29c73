//! What a data set is.

use super::{DataError, rows};
use crate::{Result, Tensor};
use std::sync::Arc;

/// One sample: a small list of tensors, such as an image and its label.
pub type Sample = Vec<Tensor>;

/// A finite collection of samples that can be read in any order.
///
/// ```
/// use tinytorch::Tensor;
/// use tinytorch::data::{DataLoader, Dataset, Sample};
///
/// /// x and x^2, computed on demand.
/// struct Squares;
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         5
///     }
///     fn get(&self, index: usize) -> tinytorch::Result<Sample> {
///         let x = index as f32;
///         Ok(vec![Tensor::scalar(x), Tensor::scalar(x * x)])
///     }
/// }
///
/// let loader = DataLoader::new(Squares, 2)?;
/// let last = loader.epoch(0).last().unwrap()?;
/// assert_eq!(last.targets()?.to_vec::<f32>()?, [16.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample at `index`.
    ///
    /// # Errors
    /// [`DataError::Index`] beyond the last sample, and whatever reading it can meet.
    fn get(&self, index: usize) -> Result<Sample>;

    /// The samples at `indices`, stacked: one tensor per field, each with a new leading axis.
    ///
    /// A data set that can read many samples at once faster than one by one overrides this.
    ///
    /// # Errors
    /// Those of [`Dataset::get`], and [`DataError::SampleSize`] if samples differ in their fields.
    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        let samples = indices.iter().map(|&i| self.get(i)).collect::<Result<Vec<_>>>()?;
        let expected = samples.first().map_or(0, Vec::len);
        for (sample, &index) in samples.iter().zip(indices) {
            if sample.len() != expected {
                return Err(DataError::SampleSize { index, got: sample.len(), expected }.into());
            }
        }
        let field = |f: usize| samples.iter().map(|s| s[f].clone()).collect::<Vec<_>>();
        (0..expected).map(|f| rows::stack(&field(f))).collect()
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        (**self).get(index)
    }

    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        (**self).batch(indices)
    }
}

/// Tensors of equal length in memory: sample `i` is entry `i` of each.
///
/// ```
/// use tinytorch::Tensor;
/// use tinytorch::data::{Dataset, TensorDataset};
/// let inputs = Tensor::arange(6)?.reshape([3, 2])?;
/// let labels = Tensor::from_vec(vec![0i64, 1, 0], [3])?;
/// let data = TensorDataset::new([inputs, labels])?;
/// assert_eq!(data.len(), 3);
/// assert_eq!(data.get(1)?[0].to_vec::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorDataset {
    tensors: Vec<Tensor>,
    len: usize,
}

impl TensorDataset {
    /// A data set over these tensors, whose leading axes count the samples.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] without tensors or for a scalar, [`DataError::Ragged`] if the
    /// lengths differ.
    pub fn new(tensors: impl IntoIterator<Item = Tensor>) -> Result<TensorDataset> {
        // Rows are copied out of contiguous memory, so a view is laid out once, here.
        let tensors =
            tensors.into_iter().map(|t| t.contiguous()).collect::<Result<Vec<Tensor>>>()?;
        let mut lengths = Vec::with_capacity(tensors.len());
        for (position, t) in tensors.iter().enumerate() {
            let Some(&len) = t.shape().first() else {
                let what = format!("tensor {position} is a scalar");
                return Err(DataError::NoSamples { what }.into());
            };
            lengths.push(len);
        }
        let Some(&expected) = lengths.first() else {
            return Err(DataError::NoSamples { what: "no tensors were given".into() }.into());
        };
        if let Some(position) = lengths.iter().position(|&len| len != expected) {
            return Err(DataError::Ragged { position, len: lengths[position], expected }.into());
        }
        Ok(TensorDataset { tensors, len: expected })
    }

    /// The tensors, each `[samples, ..]`.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A data set of its own that holds copies of the samples at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] for an index beyond the last sample.
    pub fn select(&self, indices: &[usize]) -> Result<TensorDataset> {
        Ok(TensorDataset { tensors: self.batch(indices)?, len: indices.len() })
    }

    fn check(&self, index: usize) -> Result<()> {
        if index < self.len {
            return Ok(());
        }
        Err(DataError::Index { index, len: self.len }.into())
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.check(index)?;
        self.tensors.iter().map(|t| t.select(0, index)).collect()
    }

    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        indices.iter().try_for_each(|&i| self.check(i))?;
        self.tensors.iter().map(|t| rows::gather(t, indices)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same samples as the wrapped data set, without its fast path.
    struct OneByOne(TensorDataset);

    impl Dataset for OneByOne {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, index: usize) -> Result<Sample> {
            self.0.get(index)
        }
    }

    fn mixed() -> TensorDataset {
        let images = Tensor::arange(24).unwrap().reshape([3, 4, 2]).unwrap();
        let swapped = images.transpose(1, 2).unwrap();
        let labels = Tensor::from_vec(vec![7i64, 8, 9], [3]).unwrap();
        let bytes = Tensor::from_vec(vec![1u8, 2, 3, 4, 5, 6], [3, 2]).unwrap();
        TensorDataset::new([swapped, labels, bytes]).unwrap()
    }

    #[test]
    fn gathering_rows_equals_stacking_samples() {
        let fast = mixed().batch(&[2, 0, 2]).unwrap();
        let slow = OneByOne(mixed()).batch(&[2, 0, 2]).unwrap();
        assert_eq!(fast.len(), 3);
        for (a, b) in fast.iter().zip(&slow) {
            assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
        }
        assert_eq!(fast[0].to_vec::<f32>().unwrap(), slow[0].to_vec::<f32>().unwrap());
        assert_eq!(fast[1].to_vec::<i64>().unwrap(), [9, 7, 9]);
        assert_eq!(slow[1].to_vec::<i64>().unwrap(), [9, 7, 9]);
        assert_eq!(fast[2].to_vec::<u8>().unwrap(), [5, 6, 1, 2, 5, 6]);
    }

    #[test]
    fn wrong_tensors_and_indices_are_named() {
        let short = Tensor::zeros([2, 4]).unwrap();
        let long = Tensor::zeros([3]).unwrap();
        let ragged = TensorDataset::new([short, long]).unwrap_err().to_string();
        assert!(ragged.contains("tensor 1 holds 3 samples"), "{ragged}");
        assert!(TensorDataset::new([]).unwrap_err().to_string().contains("no tensors"));
        let scalar = TensorDataset::new([Tensor::scalar(1.0)]).unwrap_err().to_string();
        assert!(scalar.contains("tensor 0 is a scalar"), "{scalar}");
        let index = mixed().get(3).unwrap_err().to_string();
        assert!(index.contains("sample 3") && index.contains("of 3"), "{index}");
        assert!(mixed().batch(&[0, usize::MAX]).is_err());
    }

    #[test]
    fn samples_of_unequal_size_are_an_error() {
        struct Uneven;
        impl Dataset for Uneven {
            fn len(&self) -> usize {
                2
            }
            fn get(&self, index: usize) -> Result<Sample> {
                Ok(vec![Tensor::scalar(0.0); index + 1])
            }
        }
        let error = Uneven.batch(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("sample 1 consists of 2 tensors where 1"), "{error}");
    }
}
