//! Data sets, batches and the files they come from.
//!
//! A [`Dataset`] gives samples by index, a [`DataLoader`] shuffles and stacks them into batches, a
//! [`Transform`] changes images on the way.
//!
//! ```
//! use tinytorch::Tensor;
//! use tinytorch::data::{DataLoader, TensorDataset};
//! let data = TensorDataset::new([Tensor::arange(5)?])?;
//! let loader = DataLoader::new(data, 2)?.shuffle(true);
//! assert_eq!(loader.epoch(0).count(), 3);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod dataset;
mod error;
mod loader;
mod prefetch;
mod rows;
mod split;
mod transform;

pub use dataset::{Dataset, Sample, TensorDataset};
pub use error::DataError;
pub use loader::{Batch, Batches, DataLoader};
pub use split::{Split, Subset, stratified_split};
pub use transform::{Compose, Normalize, RandomCrop, RandomHorizontalFlip, Transform};
