//! Samples in batches, shuffled and read ahead.

use super::prefetch::Prefetched;
use super::{DataError, Dataset, Transform, rows};
use crate::{Result, Rng, Tensor};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Some samples, stacked: one tensor per field, each `[samples, ..]`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The fields in the data set's order; never empty.
    pub tensors: Vec<Tensor>,
    /// Which samples of the data set these are.
    pub indices: Vec<usize>,
}

impl Batch {
    /// The first field: what a model is fed.
    pub fn inputs(&self) -> &Tensor {
        &self.tensors[0]
    }

    /// The second field: what a model should answer.
    ///
    /// # Errors
    /// [`DataError::SampleSize`] if the samples have a single field.
    pub fn targets(&self) -> Result<&Tensor> {
        let index = self.indices.first().copied().unwrap_or(0);
        let missing = DataError::SampleSize { index, got: self.tensors.len(), expected: 2 };
        Ok(self.tensors.get(1).ok_or(missing)?)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no samples; a loader makes no such batch.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Cuts a data set into batches, in order or shuffled, optionally ahead of time on a thread.
///
/// The batches of an epoch follow from the seed and the number of the epoch alone, so that a
/// training that is resumed at epoch `e` meets what the uninterrupted one would have met.
///
/// ```
/// use tinytorch::Tensor;
/// use tinytorch::data::{DataLoader, TensorDataset};
/// let data = TensorDataset::new([Tensor::arange(5)?])?;
/// let loader = DataLoader::new(data, 2)?.seed(7).shuffle(true).prefetch(2);
/// assert_eq!(loader.len(), 3);
/// let mut seen = Vec::new();
/// for batch in loader.epoch(0) {
///     seen.extend(batch?.inputs().to_vec::<f32>()?);
/// }
/// seen.sort_by(f32::total_cmp);
/// assert_eq!(seen, [0.0, 1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone)]
pub struct DataLoader {
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    seed: u64,
    shuffle: bool,
    drop_last: bool,
    transform: Option<Arc<dyn Transform>>,
    prefetch: usize,
}

impl DataLoader {
    /// A loader that yields the samples in order, `batch_size` at a time, the last batch shorter
    /// if they do not come out even.
    ///
    /// # Errors
    /// [`DataError::BatchSize`] for a batch size of 0.
    pub fn new(dataset: impl Dataset + 'static, batch_size: usize) -> Result<DataLoader> {
        if batch_size == 0 {
            return Err(DataError::BatchSize.into());
        }
        Ok(DataLoader {
            dataset: Arc::new(dataset),
            batch_size,
            seed: 0,
            shuffle: false,
            drop_last: false,
            transform: None,
            prefetch: 0,
        })
    }

    /// Decides every random choice; 0 if not called.
    pub fn seed(mut self, seed: u64) -> DataLoader {
        self.seed = seed;
        self
    }

    /// Whether every epoch visits the samples in an order of its own.
    pub fn shuffle(mut self, shuffle: bool) -> DataLoader {
        self.shuffle = shuffle;
        self
    }

    /// Whether a last batch of fewer than `batch_size` samples is left out.
    pub fn drop_last(mut self, drop_last: bool) -> DataLoader {
        self.drop_last = drop_last;
        self
    }

    /// Changes the first field of every sample; replaces an earlier transform, see
    /// [`Compose`](super::Compose) for several.
    ///
    /// What chance does to a sample depends on the seed, the epoch and the sample's index only, not
    /// on the batch it falls into.
    pub fn transform(mut self, transform: impl Transform + 'static) -> DataLoader {
        self.transform = Some(Arc::new(transform));
        self
    }

    /// Makes up to this many batches ahead on a thread of its own; 0 makes each when it is asked
    /// for. The batches are the same either way.
    pub fn prefetch(mut self, batches: usize) -> DataLoader {
        self.prefetch = batches;
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// Number of batches in an epoch.
    pub fn len(&self) -> usize {
        let samples = self.dataset.len();
        if self.drop_last { samples / self.batch_size } else { samples.div_ceil(self.batch_size) }
    }

    /// Whether an epoch has no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The order in which epoch `epoch` visits the samples.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.shuffle {
            Rng::keyed(&[self.seed, epoch]).shuffle(&mut order);
        }
        order
    }

    /// The batches of epoch `epoch`. An error, or a panic in the data set, is the last item.
    pub fn epoch(&self, epoch: u64) -> Batches {
        let plan = EpochPlan { loader: self.clone(), epoch, order: self.order(epoch), next: 0 };
        Batches(match self.prefetch {
            0 => Source::OnDemand(plan),
            // The channel allocates its places at once: no more than there are batches.
            ahead => match Prefetched::spawn(plan.clone(), ahead.min(self.len())) {
                Ok(prefetched) => Source::Ahead(prefetched),
                // Without a thread to spare the batches are the same, only later.
                Err(_) => Source::OnDemand(plan),
            },
        })
    }

    fn batch(&self, indices: &[usize], epoch: u64) -> Result<Batch> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut tensors = self.dataset.batch(indices)?;
            let Some(inputs) = tensors.first_mut() else {
                let index = indices[0];
                return Err(DataError::SampleSize { index, got: 0, expected: 1 }.into());
            };
            if let Some(transform) = &self.transform {
                let change = |(row, &index): (usize, &usize)| {
                    let mut rng = Rng::keyed(&[self.seed, epoch, index as u64]);
                    transform.apply(&inputs.select(0, row)?, &mut rng)
                };
                let changed = indices.iter().enumerate().map(change).collect::<Result<Vec<_>>>()?;
                *inputs = rows::stack(&changed)?;
            }
            Ok(Batch { tensors, indices: indices.to_vec() })
        }));
        made.unwrap_or_else(|panic| {
            Err(DataError::Panicked { message: panic_message(&*panic) }.into())
        })
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(owned).unwrap_or("no message").to_owned()
}

/// The batches that one epoch still has to make.
#[derive(Clone)]
pub(super) struct EpochPlan {
    loader: DataLoader,
    epoch: u64,
    order: Vec<usize>,
    next: usize,
}

impl EpochPlan {
    fn remaining(&self) -> usize {
        self.loader.len().saturating_sub(self.next)
    }
}

impl Iterator for EpochPlan {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining() == 0 {
            return None;
        }
        let start = self.next * self.loader.batch_size;
        let end = (start + self.loader.batch_size).min(self.order.len());
        let batch = self.loader.batch(&self.order[start..end], self.epoch);
        self.next = if batch.is_ok() { self.next + 1 } else { usize::MAX };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining()))
    }
}

/// The batches of one epoch, from [`DataLoader::epoch`].
///
/// Dropping it early is fine; a prefetching thread ends with the batch it is working on.
pub struct Batches(Source);

enum Source {
    OnDemand(EpochPlan),
    Ahead(Prefetched<Result<Batch>>),
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::OnDemand(plan) => plan.next(),
            Source::Ahead(prefetched) => prefetched.next(),
        }
    }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
