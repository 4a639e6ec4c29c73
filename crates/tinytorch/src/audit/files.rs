//! Both models in files.

use super::Subject;
use crate::Result;
use crate::files::{FileError, Provenance, TemporaryFolder, save_model};
use crate::models::Model;
use std::path::PathBuf;

/// The float and the int8 model in files: those that were delivered, or else files of the audit's own,
/// which are removed with this value.
pub struct Files {
    folder: TemporaryFolder,
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
        let folder = TemporaryFolder::new().map_err(unwritable)?;
        let (float, int8) = subject.delivered.clone().unzip();
        // What was fine-tuned is not in the float model's file.
        let float = float.flatten().filter(|_| subject.tuning.is_none());
        let written = |delivered: Option<PathBuf>, name: &str, model: &dyn Model| {
            delivered.map_or_else(
                || {
                    let path = folder.path().join(name);
                    save_model(&path, model, &Provenance::default())?;
                    Ok(path)
                },
                Ok::<PathBuf, crate::Error>,
            )
        };
        let float = written(float, "float.safetensors", &*subject.float)?;
        let int8 = written(int8, "int8.safetensors", &*subject.int8)?;
        Ok(Files { folder, float, int8 })
    }

    /// No files, for models of which only the answers are known.
    ///
    /// # Errors
    /// As for [`Files::of`].
    pub(super) fn none() -> Result<Files> {
        let unwritable = |source| FileError::Write { path: std::env::temp_dir(), source };
        let folder = TemporaryFolder::new().map_err(unwritable)?;
        let [float, int8] = ["float", "int8"].map(|name| folder.path().join(name));
        Ok(Files { folder, float, int8 })
    }

    /// A path in a folder of the audit's own.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
