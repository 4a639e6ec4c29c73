use super::Subject;
use crate::Result;
use crate::files::{FileError, Provenance, save_model};
use std::path::PathBuf;
use tempfile::TempDir;

/// The float and the int8 model in files: those that were delivered, or else files of the audit's own,
/// which are removed with this value.
pub struct Files {
    folder: TempDir,
    /// The float model's file.
    pub float: PathBuf,
    /// The int8 model's file.
    pub int8: PathBuf,
}

impl Files {
    /// The delivered files; models that did not come from files are saved.
    ///
    /// # Errors
    /// [`FileError`] if the temporary folder cannot be written.
    pub(super) fn of(subject: &Subject) -> Result<Files> {
        let unwritable = |source| FileError::Write { path: std::env::temp_dir(), source };
        let folder = tempfile::tempdir().map_err(unwritable)?;
        if let Some((float, int8)) = subject.delivered.clone() {
            return Ok(Files { folder, float, int8 });
        }
        let (float, int8) =
            (folder.path().join("float.safetensors"), folder.path().join("int8.safetensors"));
        save_model(&float, &*subject.float, &Provenance::default())?;
        save_model(&int8, &*subject.int8, &Provenance::default())?;
        Ok(Files { folder, float, int8 })
    }

    /// A path in a folder of the audit's own.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
