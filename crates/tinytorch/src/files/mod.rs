//! Tensors and models on disk, as [safetensors](https://github.com/huggingface/safetensors).
//!
//! [`TensorFile`] reads a file strictly: whatever its header claims is checked against the file's
//! own length before anything is allocated, and a file that is not exactly what the format allows is
//! a [`FormatError`]. [`write_tensors`] replaces a file only once the new one is complete, and puts checksums
//! into it: what was damaged since is an error when it is read.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tinytorch::{Tensor, files::{TensorFile, write_tensors}};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("grid.safetensors");
//! let notes = BTreeMap::from([("unit".to_string(), "meters".to_string())]);
//! write_tensors(&path, &[("grid", Tensor::arange(6)?.reshape([2, 3])?)], &notes)?;
//!
//! let file = TensorFile::open(&path)?;
//! assert_eq!(file.metadata(), &notes);
//! assert_eq!(file.tensor("grid")?.shape().dims(), [2, 3]);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod attached;
mod checkpoint;
mod checksum;
mod digest;
mod embedder;
mod encoder;
mod entry;
mod error;
mod file;
mod flags;
mod folder;
mod header;
mod import;
mod int8;
mod llama2c;
mod loaded;
mod marks;
mod model;
mod open;
mod params;
mod pooling;
mod provenance;
mod publish;
pub(crate) mod random_access;
mod reading;
mod settings;
mod sniff;
mod spelling;
mod temporary;
mod tensor_info;
mod torch;
mod write;
pub(crate) mod zip;

pub(crate) use attached::{attached, from_metadata as attached_in};
pub(crate) use digest::TensorDigest;
pub use digest::{digest_params, digest_tensors};
pub use embedder::Embedder;
pub use error::{ContentError, FileError, FormatError};
pub use file::TensorFile;
pub use folder::import_folder;
pub use import::{import_model, load_renamed};
pub use llama2c::load_llama2c;
pub use loaded::Loaded;
pub use marks::TextMarks;
pub(crate) use model::load_as;
pub use model::{load, load_model, load_with, read_description, save_model, save_model_and};
pub(crate) use open::own_file;
pub use open::{open_model, open_with};
pub use params::{RESERVED_PREFIX, load_into, save_params, save_params_and};
pub use provenance::Provenance;
pub(crate) use provenance::TRAINING;
pub use publish::{check_folder, save_folder};
/// The element types of the format, more than tensors in memory can have.
pub use safetensors::Dtype as FileDtype;
pub use sniff::Foreign;
pub(crate) use sniff::foreign_file;
pub use temporary::{TemporaryFolder, remove_temporary_folders};
pub use tensor_info::TensorInfo;
pub use torch::TorchError;
pub use write::{check_writable, replace, write_tensors};
