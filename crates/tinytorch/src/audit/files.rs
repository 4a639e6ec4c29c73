use crate::Result;
use crate::io::{IoError, Provenance, save_model};
use crate::models::Model;
use std::path::PathBuf;
use tempfile::TempDir;

/// The float and the int8 model, saved where only the audit sees them, and removed with this value.
pub struct Files {
    _folder: TempDir,
    /// The float model's file.
    pub float: PathBuf,
    /// The int8 model's file.
    pub int8: PathBuf,
}

impl Files {
    /// Saves both models.
    ///
    /// # Errors
    /// [`IoError`] if the temporary folder cannot be written.
    pub(super) fn write(float: &dyn Model, int8: &dyn Model) -> Result<Files> {
        let unwritable = |source| IoError::Write { path: std::env::temp_dir(), source };
        let folder = tempfile::tempdir().map_err(unwritable)?;
        let path = |name: &str| folder.path().join(name);
        let files = (path("float.safetensors"), path("int8.safetensors"));
        save_model(&files.0, float, &Provenance::default())?;
        save_model(&files.1, int8, &Provenance::default())?;
        Ok(Files { _folder: folder, float: files.0, int8: files.1 })
    }
}
