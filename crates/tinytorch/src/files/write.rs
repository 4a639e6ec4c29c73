//! Files that appear complete or not at all.

use super::checksum;
use super::entry::Entry;
use super::header;
use super::tensor_info::TensorInfo;
use super::{FileError, FormatError};
use crate::Result;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Writes a safetensors file. Metadata is sorted by key; tensors lie in the order given, those of
/// wider elements first, so that each is aligned to its element. The same arguments give the same
/// bytes. A metadata entry of its own holds checksums of all that is in it, which [`TensorFile`](super::TensorFile) checks.
///
/// The file appears complete or not at all: it is written under another name in the same folder,
/// flushed to the disk, and renamed.
///
/// # Errors
/// [`FileError::Write`] if the file cannot be created, written or replaced, [`FileError::Format`] for
/// duplicate or reserved names and keys. After an error the path is as it was.
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
    if metadata.contains_key(checksum::KEY) {
        return Err(FormatError::ReservedKey { key: checksum::KEY });
    }
    let sums = contents.iter().zip(entries).map(|((name, info), entry)| (*name, info, sum(entry)));
    let mut metadata = metadata.clone();
    metadata.insert(checksum::KEY.to_string(), checksum::to_metadata(&metadata, sums));
    header::encode(&contents, &metadata)
}

/// The checksum of what an entry will write.
fn sum(entry: &Entry<'_>) -> u32 {
    struct Sum(crc32fast::Hasher);
    impl Write for Sum {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sum = Sum(crc32fast::Hasher::new());
    // A hash takes every byte, and entries hold what they were checked to hold when made.
    entry.write(&mut sum).expect("a hash can be written to");
    sum.0.finalize()
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
