//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Begins the name of a file that is not whole yet.
const PREFIX: &str = ".saving-";

/// Replaces the file at `path` by what `fill` writes, or leaves it as it was: the new file is written in the
/// same folder, flushed to the disk, and renamed. Until then it has no name where the system has such files, as
/// Linux does, so that nothing is left of it if the process is ended; elsewhere its name begins with `.saving-`.
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
        let (mut file, name) = match nameless::create(self.folder()) {
            Some(file) => (file, None),
            None => named(self.folder()).map(|(file, name)| (file, Some(name)))?,
        };
        let mut writer = BufWriter::with_capacity(1 << 16, &mut file);
        fill(&mut writer)?;
        writer.flush()?;
        drop(writer);
        if let Some(old) = &self.old {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        let name = match name {
            Some(name) => name,
            // A rename replaces a file, a link does not: the name is there for a moment only.
            None => builder()
                .make_in(self.folder(), |path| nameless::link(&file, path))?
                .into_temp_path(),
        };
        Ok(name.persist(&self.path)?)
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    builder
}

/// A file that is removed unless it is renamed.
fn named(folder: &Path) -> io::Result<(File, TempPath)> {
    let mut builder = builder();
    // Temporary files are private to their user by default; a saved model is an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Ok(builder.tempfile_in(folder)?.into_parts())
}

/// Files without a name, which the system removes with the last process that has them open.
#[cfg(target_os = "linux")]
mod nameless {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::{Path, PathBuf};

    /// The way to an open file.
    fn way(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// A new file in this folder; `None` where its system has no such files, or none that can be named later.
    pub(super) fn create(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(folder, flags, Mode::from_raw_mode(0o666)).ok()?);
        way(&file).exists().then_some(file)
    }

    /// Gives the file this name, which must be none yet.
    pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
        Ok(linkat(CWD, way(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// No files without a name.
#[cfg(not(target_os = "linux"))]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn create(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_not_whole_has_no_name_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let has_nameless = nameless::create(folder.path()).is_some();
        replace(&path, |file| {
            file.write_all(b"half")?;
            // A process that is ended here leaves what there is.
            assert_eq!(names(folder.path()).is_empty(), has_nameless);
            file.write_all(b" and half")
        })
        .unwrap();
        assert_eq!(names(folder.path()), ["model"]);
        assert_eq!(fs::read(&path).unwrap(), b"half and half");
        let failed = replace(&path, |file| {
            file.write_all(b"other")?;
            Err(io::ErrorKind::Other.into())
        });
        assert!(failed.is_err());
        assert_eq!(
            (names(folder.path()).len(), fs::read(&path).unwrap()),
            (1, b"half and half".to_vec())
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_an_ordinary_one_and_an_old_ones_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (path, other) = (folder.path().join("model"), folder.path().join("other"));
        replace(&path, |file| file.write_all(b"x")).unwrap();
        fs::write(&other, b"x").unwrap();
        assert_eq!(mode(&path), mode(&other));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, |file| file.write_all(b"y")).unwrap();
        assert_eq!(mode(&path), 0o640);
    }
}
