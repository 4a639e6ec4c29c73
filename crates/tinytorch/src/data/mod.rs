//! Data sets, batches and the files they come from.
//!
//! A [`Dataset`] gives samples by index; a [`DataLoader`] shuffles them, lets a [`Transform`] change
//! the images, and stacks them into batches. [`load`] recognizes a data folder or file, [`digits`]
//! needs none, and both give a [`Labeled`] data set whose test part nothing is learned from.
//! [`tinytalks`] is a text, of which [`next_tokens`] makes samples for language models.
//!
//! ```
//! use tinytorch::data::{DataLoader, digits};
//! let data = digits()?;
//! let loader = DataLoader::new(data.train, 32)?.seed(1).shuffle(true).prefetch(2);
//! let batch = loader.epoch(0).next().unwrap()?;
//! assert_eq!(batch.inputs().shape().dims(), [32, 1, 8, 8]);
//! assert_eq!(batch.targets()?.shape().dims(), [32]);
//! # Ok::<(), tinytorch::Error>(())
//! ```
//!
//! Every reader checks a size against what the file can still hold before it allocates, compressed
//! files expand to at most 4 GiB, and every error names the file.

mod cifar;
mod csv;
mod dataset;
mod digits;
mod error;
mod idx;
mod images;
mod labeled;
mod labels;
mod literal;
mod load;
mod loader;
mod npy;
mod npz;
mod numbers;
mod prefetch;
mod recognize;
mod rows;
mod source;
mod split;
mod table;
mod tinytalks;
mod transform;
mod zip_writer;

pub use cifar::{decode_cifar10, read_cifar10};
pub use csv::{decode_csv, read_csv};
pub use dataset::{Dataset, Sample, TensorDataset};
pub use digits::digits;
pub use error::DataError;
pub use idx::{decode_idx, read_idx};
pub use labeled::{Examples, Labeled};
pub use labels::Labels;
pub use load::{Unlabeled, load, load_calibration, load_labeled};
pub use loader::{Batch, Batches, DataLoader};
pub use npy::{decode_npy, encode_npy, read_npy, write_npy, write_npy_as};
pub use npz::{Npz, encode_npz, write_npz, write_npz_as};
pub use split::{Split, Subset, stratified_split};
pub use table::Table;
pub use tinytalks::{TextSplits, TextWindows, next_tokens, tinytalks};
pub use transform::{Compose, Normalize, RandomCrop, RandomHorizontalFlip, Transform};
