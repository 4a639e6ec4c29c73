//! A model in any form there is.

use super::encoder::{STAGES, read_encoder};
use super::folder::{check_described, import_beside, weights};
use super::provenance::is_own;
use super::{Foreign, Loaded, foreign_file, import_folder, load_llama2c, load_with};
use crate::Result;
use crate::models::Kinds;
use std::path::{Path, PathBuf};

/// Reads a model in any form there is: a file that [`save_model`](super::save_model) wrote or a folder that
/// [`save_folder`](super::save_folder) did, a folder or a safetensors file with its `config.json` beside it,
/// or a `.bin` file of llama2.c. A folder with a `modules.json` is a
/// [`SentenceEncoder`](crate::models::SentenceEncoder).
///
/// # Errors
/// As [`load_model`](super::load_model), [`import_folder`], [`Embedder::load`](super::Embedder::load) or
/// [`load_llama2c`], whichever the path calls for.
pub fn open_model(path: impl AsRef<Path>) -> Result<Loaded> {
    open_with(path, &Kinds::built_in())
}

/// [`open_model`] for a program that has kinds of its own.
///
/// # Errors
/// As [`open_model`].
pub fn open_with(path: impl AsRef<Path>, kinds: &Kinds) -> Result<Loaded> {
    let path = path.as_ref();
    if path.is_dir() {
        return open_folder(path, kinds);
    }
    if is_llama2c(path) {
        return load_llama2c(path);
    }
    match path.parent() {
        Some(folder) if !is_own(path)? && folder.join("config.json").exists() => {
            import_beside(path, folder)
        }
        _ => load_with(path, kinds),
    }
}

fn open_folder(folder: &Path, kinds: &Kinds) -> Result<Loaded> {
    let is_described = folder.join("config.json").exists();
    if is_described && folder.join(STAGES).exists() {
        let Loaded { model, provenance } = read_encoder(folder)?;
        return Ok(Loaded { model: Box::new(model), provenance });
    }
    if let Some(weights) = own_file(folder)? {
        let loaded = load_with(weights, kinds)?;
        if is_described {
            check_described(folder, loaded.model.backbone())?;
        }
        return Ok(loaded);
    }
    import_folder(folder)
}

/// The file of our own that a path means: the file itself, or the weights in a folder. `None` for what only
/// importing reads.
pub(crate) fn own_file(path: &Path) -> Result<Option<PathBuf>> {
    let file = match path.is_dir() {
        true => weights(path)?,
        false => path.to_path_buf(),
    };
    Ok(if !is_llama2c(&file) && is_own(&file)? { Some(file) } else { None })
}

/// Whether a file is none of tensors by its name and content; PyTorch's have the same ending.
fn is_llama2c(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "bin")
        && foreign_file(file) != Some(Foreign::Zip)
}
