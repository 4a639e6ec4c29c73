//! Files that appear complete or not at all.

use super::entry::Entry;
use super::header::{self, TensorInfo};
use super::{FileError, FormatError};
use crate::Result;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Writes a safetensors file. Metadata is sorted by key; tensors lie in the order given, those of
/// wider elements first, so that each is aligned to its element. The same arguments give the same
/// bytes.
///
/// The file appears complete or not at all: it is written under another name in the same folder,
/// flushed to the disk, and renamed.
///
/// # Errors
/// [`FileError::Write`] if the file cannot be created, written or replaced, [`FileError::Format`] for
/// duplicate or reserved names. After an error the path is as it was.
pub fn write_tensors<S: AsRef<str>>(
    path: impl AsRef<Path>,
    tensors: &[(S, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let entries = tensors.iter().map(|(name, tensor)| Entry::tensor(name.as_ref(), tensor));
    write_entries(path.as_ref(), entries.collect::<Result<_>>()?, metadata)
}

/// [`write_tensors`] for whatever can be written as a tensor.
pub(super) fn write_entries(
    path: &Path,
    mut entries: Vec<Entry<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.dtype.bitsize()));
    let header = lay_out(&entries, metadata)
        .map_err(|problem| FileError::Format { path: path.to_path_buf(), problem })?;
    replace(path, |file| {
        file.write_all(&header)?;
        entries.iter().try_for_each(|entry| entry.write(file))
    })
}

fn lay_out(
    entries: &[Entry<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, FormatError> {
    let mut end = 0;
    let mut contents = Vec::with_capacity(entries.len());
    for entry in entries {
        let start = end;
        end += entry.bytes();
        let (dtype, shape) = (entry.dtype, entry.shape);
        contents.push((&*entry.name, TensorInfo { dtype, shape, range: start..end }));
    }
    header::encode(&contents, metadata)
}

/// Replaces the file at `path` by what `fill` writes, or leaves it as it was.
///
/// # Errors
/// [`FileError::Write`] if the file cannot be created, written or replaced, or if `fill` fails.
pub fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let write = |source| FileError::Write { path: path.to_path_buf(), source };
    Ok(tinytorch_core::replace::replace(path, fill).map_err(write)?)
}

/// Finds out, before the work that a file is to hold, whether [`replace`] could write there. Nothing
/// appears and nothing changes.
///
/// # Errors
/// [`FileError::Write`].
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let write = |source| FileError::Write { path: path.to_path_buf(), source };
    Ok(tinytorch_core::replace::check_writable(path).map_err(write)?)
}
