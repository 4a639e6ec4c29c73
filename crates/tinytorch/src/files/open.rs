//! A model in any form there is.

use super::folder::import_beside;
use super::provenance::ARCHITECTURE;
use super::{Loaded, TensorFile, import_folder, load_llama2c, load_with};
use crate::Result;
use crate::models::Kinds;
use std::path::Path;

/// Reads a model in any form there is: a file that [`save_model`](super::save_model) wrote, a folder or
/// a safetensors file with its `config.json` beside it, or a `.bin` file of llama2.c.
///
/// # Errors
/// As [`load_model`](super::load_model), [`import_folder`] or [`load_llama2c`], whichever the path calls
/// for.
pub fn open_model(path: impl AsRef<Path>) -> Result<Loaded> {
    open_with(path, &Kinds::built_in())
}

/// [`open_model`] for a program that has kinds of its own.
///
/// # Errors
/// As [`open_model`].
pub fn open_with(path: impl AsRef<Path>, kinds: &Kinds) -> Result<Loaded> {
    let path = path.as_ref();
    if path.join("config.json").exists() {
        return import_folder(path);
    }
    if path.extension().is_some_and(|extension| extension == "bin") {
        return load_llama2c(path);
    }
    let own = TensorFile::open(path)?.metadata().contains_key(ARCHITECTURE);
    match path.parent() {
        Some(folder) if !own && folder.join("config.json").exists() => import_beside(path, folder),
        _ => load_with(path, kinds),
    }
}
