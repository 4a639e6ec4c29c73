//! Batches of a loader.

use super::*;
use crate::data::{Compose, RandomCrop, RandomHorizontalFlip, Sample, TensorDataset};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn numbers(n: usize) -> TensorDataset {
    let labels = Tensor::from_vec((0..n as i64).collect(), [n]).unwrap();
    TensorDataset::new([Tensor::arange(n).unwrap(), labels]).unwrap()
}

fn all(loader: &DataLoader, epoch: u64) -> Vec<Batch> {
    loader.epoch(epoch).collect::<Result<_>>().unwrap()
}

fn bits(batches: &[Batch]) -> Vec<(Vec<usize>, Vec<f32>)> {
    batches.iter().map(|b| (b.indices.clone(), b.inputs().to_vec().unwrap())).collect()
}

proptest! {
    #[test]
    fn every_sample_comes_once_in_the_promised_number_of_batches(
        n in 0usize..50, size in 1usize..12, shuffle: bool, seed: u64, epoch: u64,
    ) {
        let loader = DataLoader::new(numbers(n), size).unwrap().seed(seed).shuffle(shuffle);
        let batches = all(&loader, epoch);
        prop_assert_eq!(batches.len(), n.div_ceil(size));
        prop_assert_eq!(batches.len(), loader.len());
        let mut indices: Vec<usize> = batches.iter().flat_map(|b| b.indices.clone()).collect();
        prop_assert_eq!(&indices, &loader.order(epoch));
        indices.sort_unstable();
        prop_assert_eq!(indices, (0..n).collect::<Vec<_>>());
        for b in &batches {
            let labels: Vec<i64> = b.indices.iter().map(|&i| i as i64).collect();
            prop_assert_eq!(b.targets().unwrap().to_vec::<i64>().unwrap(), labels);
        }
        let whole = all(&loader.clone().drop_last(true), epoch);
        prop_assert_eq!(whole.len(), n / size);
        prop_assert!(whole.iter().all(|b| b.len() == size));
    }
}

#[test]
fn an_epoch_is_the_same_every_time_and_another_epoch_or_seed_is_not() {
    let loader = DataLoader::new(numbers(40), 8).unwrap().seed(3).shuffle(true);
    assert_eq!(bits(&all(&loader, 5)), bits(&all(&loader, 5)));
    assert_ne!(loader.order(5), loader.order(6));
    assert_ne!(loader.order(5), loader.clone().seed(4).order(5));
    assert_ne!(loader.clone().seed(0).order(1), loader.seed(1).order(0));
}

#[test]
fn the_order_of_a_seed_is_pinned_for_ever() {
    let loader = DataLoader::new(numbers(8), 8).unwrap().seed(1).shuffle(true);
    assert_eq!(loader.order(2), [1, 7, 6, 2, 0, 3, 4, 5]);
}

fn images(n: usize) -> TensorDataset {
    let pixels = Tensor::arange(n * 27).unwrap().reshape([n, 3, 3, 3]).unwrap();
    TensorDataset::new([pixels]).unwrap()
}

fn augmenting(n: usize, batch_size: usize) -> DataLoader {
    let flip = RandomHorizontalFlip::new(0.5).unwrap();
    let augment = Compose::new().then(flip).then(RandomCrop::new(3, 3, 2).unwrap());
    DataLoader::new(images(n), batch_size).unwrap().seed(9).shuffle(true).transform(augment)
}

#[test]
fn prefetching_changes_nothing() {
    let loader = augmenting(23, 4);
    for ahead in [1, 3, usize::MAX] {
        let prefetched = loader.clone().prefetch(ahead);
        assert_eq!(bits(&all(&prefetched, 2)), bits(&all(&loader, 2)));
    }
}

#[test]
fn what_chance_does_to_a_sample_depends_on_its_index_not_on_its_batch() {
    let by_sample = |batch_size| {
        let mut rows = Vec::new();
        for b in all(&augmenting(20, batch_size), 1) {
            for (row, &index) in b.indices.iter().enumerate() {
                rows.push((index, b.inputs().select(0, row).unwrap().to_vec::<f32>().unwrap()));
            }
        }
        rows.sort_by_key(|(index, _)| *index);
        rows
    };
    assert_eq!(by_sample(3), by_sample(7));
    assert_ne!(bits(&all(&augmenting(20, 20), 0))[0].1, bits(&all(&augmenting(20, 20), 1))[0].1);
}

#[test]
fn a_batch_size_of_0_is_an_error() {
    assert!(DataLoader::new(numbers(3), 0).err().unwrap().to_string().contains("at least 1"));
}

/// Four samples, then whatever the field says happens at the fifth.
struct Breaks(fn() -> Result<Sample>);

impl Dataset for Breaks {
    fn len(&self) -> usize {
        9
    }
    fn get(&self, index: usize) -> Result<Sample> {
        if index == 4 { (self.0)() } else { Ok(vec![Tensor::scalar(index as f32)]) }
    }
}

#[test]
fn an_error_or_panic_in_the_data_set_is_the_last_item() {
    let error: fn() -> Result<Sample> = || Err(DataError::Index { index: 4, len: 4 }.into());
    let panic: fn() -> Result<Sample> = || panic!("the disk is on fire");
    for ahead in [0, 2] {
        for (breaks, says) in [(error, "sample 4"), (panic, "the disk is on fire")] {
            let loader = DataLoader::new(Breaks(breaks), 2).unwrap().prefetch(ahead);
            let items: Vec<_> = loader.epoch(0).collect();
            assert_eq!(items.len(), 3);
            assert!(items[..2].iter().all(Result::is_ok));
            assert!(items[2].as_ref().unwrap_err().to_string().contains(says));
        }
    }
}

#[test]
fn samples_without_fields_are_an_error() {
    let loader = DataLoader::new(Breaks(|| Ok(vec![])), 1).unwrap();
    let error = loader.epoch(0).last().unwrap().unwrap_err().to_string();
    assert!(error.contains("sample 4 consists of 0 tensors"), "{error}");
    let single = loader.epoch(0).next().unwrap().unwrap();
    assert!(single.targets().is_err());
}

#[test]
fn an_epoch_that_is_dropped_early_leaves_no_thread_behind() {
    struct Counted(Arc<AtomicUsize>);
    impl Dataset for Counted {
        fn len(&self) -> usize {
            1_000_000
        }
        fn get(&self, index: usize) -> Result<Sample> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(vec![Tensor::scalar(index as f32)])
        }
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let loader = DataLoader::new(Counted(reads.clone()), 1).unwrap().prefetch(2);
    let mut epoch = loader.epoch(0);
    assert!(epoch.next().unwrap().is_ok());
    drop(epoch);
    drop(loader);
    assert_eq!(Arc::strong_count(&reads), 1, "the thread still holds the data set");
    assert!(reads.load(Ordering::SeqCst) < 10);
}
