//! Folders that go away with the work that they are for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// The folders that there are, for the program that is ended before it drops them.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A folder that was made longer ago than this has been locked, unless its process is gone.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder of this process's own, which is removed with this value. One whose process was ended on the way is
/// removed by the next process that makes one beside it.
///
/// ```
/// use tinytorch::files::TemporaryFolder;
///
/// let folder = TemporaryFolder::new()?;
/// let path = folder.path().to_path_buf();
/// std::fs::write(path.join("model"), [1, 2, 3])?;
/// drop(folder);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    /// Tells other processes that this one is there; the system unlocks what a process leaves.
    _lock: Option<File>,
}

impl TemporaryFolder {
    /// A folder where the system keeps such folders, which only this user can enter.
    ///
    /// # Errors
    /// What the system says if it cannot be made.
    pub fn new() -> io::Result<TemporaryFolder> {
        Self::make(&std::env::temp_dir(), "tinytorch-", &tempfile::Builder::new())
    }

    /// A folder in `parent` that is to become an ordinary one.
    pub(crate) fn in_folder(parent: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        let mut builder = tempfile::Builder::new();
        // Temporary folders are private to their user by default.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Self::make(parent, prefix, &builder)
    }

    fn make(
        parent: &Path,
        prefix: &str,
        builder: &tempfile::Builder<'_, '_>,
    ) -> io::Result<TemporaryFolder> {
        remove_left(parent, prefix);
        let folder = builder.clone().prefix(prefix).tempdir_in(parent)?;
        // Where a folder cannot be locked, nothing looks for those that were left.
        let lock = File::open(folder.path()).ok().filter(|file| file.try_lock().is_ok());
        change(|folders| folders.push(folder.path().to_path_buf()));
        Ok(TemporaryFolder { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder a name of its own, under which it stays.
    pub(crate) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(self.path(), path)?;
        self.folder.disable_cleanup(true);
        Ok(())
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        forget(self.path());
    }
}

/// Removes the temporary folders that this process has made: for a program that a signal ends, where no value is
/// dropped. What goes on using them fails.
pub fn remove_temporary_folders() {
    change(|folders| {
        for folder in folders.drain(..) {
            // A folder that cannot be removed is left, as it would be without this.
            let _ = fs::remove_dir_all(folder);
        }
    });
}

fn forget(path: &Path) {
    change(|folders| folders.retain(|folder| folder != path));
}

fn change(change: impl FnOnce(&mut Vec<PathBuf>)) {
    // A list of paths is whole whenever a thread panics.
    change(&mut FOLDERS.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Removes folders of this name whose process is gone.
fn remove_left(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.metadata().is_ok_and(|about| {
                let age = about.modified().ok().and_then(|at| at.elapsed().ok());
                about.is_dir() && age.is_some_and(|age| age > SETTLED)
            });
        let lock = Some(entry.path()).filter(|_| is_one).and_then(|path| File::open(path).ok());
        if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// As if it had been made long ago.
    fn age(path: &Path) {
        let old = SystemTime::now() - 10 * SETTLED;
        File::open(path).unwrap().set_modified(old).unwrap();
    }

    #[test]
    fn what_a_process_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (left, young) = (parent.path().join(".part-left"), parent.path().join(".part-young"));
        let other = parent.path().join("mine");
        for path in [&left, &young, &other] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), "x").unwrap();
        }
        let used = TemporaryFolder::in_folder(parent.path(), ".part-").unwrap();
        for path in [&left, &other, used.path()] {
            age(path);
        }
        let next = TemporaryFolder::in_folder(parent.path(), ".part-").unwrap();
        let there = [&left, &young, &other, used.path(), next.path()].map(Path::exists);
        assert_eq!(there, [false, true, true, true, true]);
        let named = parent.path().join("named");
        next.rename(&named).unwrap();
        drop(used);
        let names = fs::read_dir(parent.path()).unwrap().flatten().map(|entry| entry.path());
        let mut names: Vec<PathBuf> = names.collect();
        names.sort();
        assert_eq!(names, [young, other, named]);
    }
}
