//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Replaces the file at `path` by what `fill` writes, or leaves it as it was: the new file is written under
/// another name in the same folder, flushed to the disk, and renamed.
///
/// # Errors
/// What the system says if the file cannot be created, written or replaced, or what `fill` reports.
pub fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    Target::find(path)?.replace(fill)
}

/// Finds out, before the work that a file is to hold, whether [`replace`] could write there. Nothing
/// appears and nothing changes.
///
/// # Errors
/// What the system says.
pub fn check_writable(path: &Path) -> io::Result<()> {
    tempfile::tempfile_in(Target::find(path)?.folder()).map(drop)
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
