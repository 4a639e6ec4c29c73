use super::entry::Entry;
use super::header::{self, TensorInfo};
use super::{FormatError, IoError};
use crate::Result;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Writes a safetensors file. Metadata is sorted by key; tensors lie in the order given, those of
/// wider elements first, so that each is aligned to its element. The same arguments give the same
/// bytes.
///
/// The file appears complete or not at all: it is written under another name in the same folder,
/// flushed to the disk, and renamed.
///
/// # Errors
/// [`IoError::Write`] if the file cannot be created, written or replaced, [`IoError::Format`] for
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
        .map_err(|problem| IoError::Format { path: path.to_path_buf(), problem })?;
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
pub(crate) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write = |source| IoError::Write { path: path.to_path_buf(), source };
    Ok(replace_file(path, fill).map_err(write)?)
}

/// Writes the new file beside the old one, flushes it to the disk, and renames it.
fn replace_file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Renaming would replace a device, and needs no permission on the file that it replaces.
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    // A link goes on pointing to the file, wherever that lies.
    let target = if old.is_some() { fs::canonicalize(path)? } else { path.to_path_buf() };
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// A file that is removed unless it is renamed.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".saving-");
    // Temporary files are private to their user by default; a saved model is an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
