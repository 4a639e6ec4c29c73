//! Parts of a data set.

use super::{DataError, Dataset, Sample};
use crate::{Result, Rng, Tensor};
use std::collections::BTreeMap;

/// Some of the samples of another data set, in an order of their own; nothing is copied.
///
/// ```
/// use std::sync::Arc;
/// use tinytorch::Tensor;
/// use tinytorch::data::{Dataset, Subset, TensorDataset};
/// let all = Arc::new(TensorDataset::new([Tensor::arange(10)?])?);
/// let few = Subset::new(all.clone(), vec![7, 3])?;
/// assert_eq!(few.get(0)?[0].item()?, 7.0);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The samples at `indices`, which may repeat.
    ///
    /// # Errors
    /// [`DataError::Index`] for an index beyond the last sample.
    pub fn new(dataset: D, indices: Vec<usize>) -> Result<Subset<D>> {
        let len = dataset.len();
        if let Some(&index) = indices.iter().find(|&&i| i >= len) {
            return Err(DataError::Index { index, len }.into());
        }
        Ok(Subset { dataset, indices })
    }

    fn original(&self, index: usize) -> Result<usize> {
        let len = self.indices.len();
        Ok(*self.indices.get(index).ok_or(DataError::Index { index, len })?)
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.dataset.get(self.original(index)?)
    }

    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        let originals = indices.iter().map(|&i| self.original(i)).collect::<Result<Vec<_>>>()?;
        self.dataset.batch(&originals)
    }
}

/// Two disjoint sets of sample indices, each in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The samples to learn from.
    pub train: Vec<usize>,
    /// The samples that were set apart.
    pub held_out: Vec<usize>,
}

/// Sets exactly `held_out` samples apart, of each class as nearly as possible its share.
///
/// Each class gives the whole part of its share; what is then missing comes from the classes with
/// the largest fractions (Hamilton's method), the smaller label first where they are equal. Which
/// samples of a class go is decided by the seed alone.
///
/// ```
/// use tinytorch::data::stratified_split;
/// let split = stratified_split(&[0, 0, 0, 0, 1, 1, 1, 1, 1, 1], 5, 42)?;
/// assert_eq!(split.held_out.iter().filter(|&&i| i < 4).count(), 2);
/// assert_eq!((split.train.len(), split.held_out.len()), (5, 5));
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`DataError::Split`] unless at least one sample is left on each side.
pub fn stratified_split(labels: &[i64], held_out: usize, seed: u64) -> Result<Split> {
    let len = labels.len();
    if held_out == 0 || held_out >= len {
        return Err(DataError::Split { count: held_out, len }.into());
    }
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(i);
    }
    let share = |members: usize| members as u128 * held_out as u128;
    let mut quotas: Vec<usize> =
        classes.values().map(|m| (share(m.len()) / len as u128) as usize).collect();
    let fractions: Vec<u128> = classes.values().map(|m| share(m.len()) % len as u128).collect();
    let mut by_fraction: Vec<usize> = (0..quotas.len()).collect();
    by_fraction.sort_by_key(|&class| std::cmp::Reverse(fractions[class]));
    let missing = held_out - quotas.iter().sum::<usize>();
    for &class in &by_fraction[..missing] {
        quotas[class] += 1;
    }
    let mut rng = Rng::seed(seed);
    let mut split = Split { train: Vec::new(), held_out: Vec::new() };
    for (mut members, quota) in classes.into_values().zip(quotas) {
        rng.shuffle(&mut members);
        split.held_out.extend_from_slice(&members[..quota]);
        split.train.extend_from_slice(&members[quota..]);
    }
    split.train.sort_unstable();
    split.held_out.sort_unstable();
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_split_is_exact_disjoint_and_fair(
            labels in prop::collection::vec(-3i64..5, 2..200),
            part in 0.0f64..1.0,
            seed: u64,
        ) {
            let held_out = 1 + ((labels.len() - 2) as f64 * part) as usize;
            let split = stratified_split(&labels, held_out, seed).unwrap();
            prop_assert_eq!(split.held_out.len(), held_out);
            let mut all = [split.train.clone(), split.held_out.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for class in -3..5 {
                let of = |set: &[usize]| set.iter().filter(|&&i| labels[i] == class).count() as f64;
                let every: Vec<usize> = (0..labels.len()).collect();
                let share = of(&every) * held_out as f64 / labels.len() as f64;
                prop_assert!((of(&split.held_out) - share).abs() < 1.0);
            }
            prop_assert_eq!(split, stratified_split(&labels, held_out, seed).unwrap());
        }
    }

    #[test]
    fn another_seed_draws_other_samples() {
        let labels = vec![0; 100];
        assert_ne!(
            stratified_split(&labels, 50, 1).unwrap(),
            stratified_split(&labels, 50, 2).unwrap()
        );
    }

    #[test]
    fn a_split_with_an_empty_side_is_an_error() {
        for held_out in [0, 3, 4] {
            let error = stratified_split(&[0, 1, 2], held_out, 0).unwrap_err().to_string();
            assert!(error.contains("from 1 to 2"), "{error}");
        }
        assert!(stratified_split(&[], 0, 0).is_err());
    }

    #[test]
    fn a_subset_reads_through_to_the_original() {
        let all = TensorDataset::new([Tensor::arange(10).unwrap()]).unwrap();
        let few = Subset::new(all, vec![4, 9, 4]).unwrap();
        assert_eq!(few.batch(&[2, 1]).unwrap()[0].to_vec::<f32>().unwrap(), [4.0, 9.0]);
        assert!(few.get(3).unwrap_err().to_string().contains("of 3"));
        let all = TensorDataset::new([Tensor::arange(10).unwrap()]).unwrap();
        assert!(Subset::new(all, vec![10]).is_err());
    }
}
