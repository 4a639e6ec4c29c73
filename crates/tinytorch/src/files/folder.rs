//! Folders as models are published in: `config.json` beside the weights.

use super::settings::{json_problem, read_text};
use super::{FileError, Loaded, import_model, marks};
use crate::Result;
use crate::models::Architecture;
use std::path::{Path, PathBuf};

/// Reads a float model from a folder with a `config.json` and its weights: `model.safetensors`, the files
/// that `model.safetensors.index.json` names, or the only file of that kind. [`Architecture::from_config`] says which configurations it knows.
///
/// # Errors
/// As [`import_model`]; [`FileError::Read`] for what is not there, [`FileError::Json`] for a configuration that
/// describes no model, [`FileError::NoWeights`] for a folder without weights or with several.
pub fn import_folder(folder: impl AsRef<Path>) -> Result<Loaded> {
    let folder = folder.as_ref();
    let architecture = read_architecture(folder)?;
    import_described(&weights(folder)?, folder, &architecture)
}

/// Reads a float model from a file of weights that the `config.json` in `folder` describes. It carries
/// with it what the folder says of [where texts begin and end](super::TextMarks).
pub(super) fn import_beside(weights: &Path, folder: &Path) -> Result<Loaded> {
    import_described(weights, folder, &read_architecture(folder)?)
}

fn import_described(weights: &Path, folder: &Path, architecture: &Architecture) -> Result<Loaded> {
    let notes = marks::notes(folder)?;
    let mut loaded = import_model(weights, architecture)?;
    loaded.provenance.notes.extend(notes);
    Ok(loaded)
}

/// What the folder's `config.json` describes.
pub(super) fn read_architecture(folder: &Path) -> Result<Architecture> {
    let path = folder.join("config.json");
    Architecture::from_config(&read_text(&path)?)
        .map_err(|error| json_problem(&path, error.to_string()))
}

/// Refuses a model of another architecture than the folder's `config.json` describes.
pub(super) fn check_described(folder: &Path, got: Option<Architecture>) -> Result<()> {
    if got.is_some_and(|got| read_architecture(folder).is_ok_and(|described| described == got)) {
        return Ok(());
    }
    let problem =
        "it describes another model than the weights beside it hold; take both from one folder";
    Err(json_problem(&folder.join("config.json"), problem.to_string()))
}

/// The folder's only file of weights, or the index of several.
pub(super) fn weights(folder: &Path) -> Result<PathBuf> {
    for usual in [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ] {
        let usual = folder.join(usual);
        if usual.exists() {
            return Ok(usual);
        }
    }
    let read = |source| FileError::Read { path: folder.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) => {
            Err(FileError::NoWeights { path: folder.to_path_buf(), found: found.len() }.into())
        }
    }
}
