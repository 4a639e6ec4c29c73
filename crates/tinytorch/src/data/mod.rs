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

mod cifar;
mod csv;
mod dataset;
mod digits;
mod error;
mod idx;
mod labeled;
mod literal;
mod load;
mod loader;
mod npy;
mod npz;
mod numbers;
mod prefetch;
mod recognize;
mod rows;
mod sink;
mod source;
mod split;
mod transform;
mod zip;
mod zip_writer;

pub use cifar::{decode_cifar10, read_cifar10};
pub use csv::{Table, decode_csv, read_csv};
pub use dataset::{Dataset, Sample, TensorDataset};
pub use digits::digits;
pub use error::DataError;
pub use idx::{decode_idx, read_idx};
pub use labeled::{Examples, Labeled};
pub use load::{load, load_calibration};
pub use loader::{Batch, Batches, DataLoader};
pub use npy::{decode_npy, encode_npy, read_npy, write_npy};
pub use npz::{Npz, encode_npz, write_npz};
pub use split::{Split, Subset, stratified_split};
pub use transform::{Compose, Normalize, RandomCrop, RandomHorizontalFlip, Transform};
