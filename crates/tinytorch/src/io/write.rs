use super::entry::Entry;
use super::header::{self, TensorInfo};
use super::{FormatError, IoError};
use crate::Result;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
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
///
/// # Errors
/// [`IoError::Write`] if the file cannot be created, written or replaced, or if `fill` fails.
pub fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let write = |source| IoError::Write { path: path.to_path_buf(), source };
    let replaced = Target::find(path).and_then(|target| target.replace(fill));
    Ok(replaced.map_err(write)?)
}

/// Finds out, before the work that a file is to hold, whether [`replace`] could write there. Nothing
/// appears and nothing changes.
///
/// # Errors
/// [`IoError::Write`].
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let write = |source| IoError::Write { path: path.to_path_buf(), source };
    let check = |target: Target| tempfile::tempfile_in(target.folder());
    Target::find(path).and_then(check).map_err(write)?;
    Ok(())
}

/// Where a file goes.
struct Target {
    path: PathBuf,
    /// The file there, if there is one.
    old: Option<fs::Metadata>,
}

impl Target {
    fn find(path: &Path) -> io::Result<Target> {
        let old = match fs::metadata(path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Target { path: path.to_path_buf(), old: None });
            }
            Err(error) => return Err(error),
        };
        // Renaming would replace a device, and needs no permission on the file that it replaces.
        if !old.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if old.permissions().readonly() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
        }
        // A link goes on pointing to the file, wherever that lies.
        Ok(Target { path: fs::canonicalize(path)?, old: Some(old) })
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// Writes the new file beside the old one, flushes it to the disk, and renames it.
    fn replace(self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut file = temporary_in(self.folder())?;
        let mut writer = BufWriter::with_capacity(1 << 16, file.as_file_mut());
        fill(&mut writer)?;
        writer.flush()?;
        drop(writer);
        if let Some(old) = self.old {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
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
