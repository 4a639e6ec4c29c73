//! A model as a folder: its weights, and beside them what others read of it.

use super::encoder::STAGES;
use super::open::own_file;
use super::{FileError, Provenance, TemporaryFolder, replace, save_model};
use crate::Result;
use crate::models::Model;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The file of the weights.
const WEIGHTS: &str = "model.safetensors";

/// What lies beside published weights and is not about their form.
const BESIDE: [&str; 16] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.bin",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    STAGES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "LICENSE",
    "LICENSE.md",
];

/// Writes a model as a folder that every command reads: its own file as `model.safetensors`, and beside it the
/// settings, the tokenizer and the license that lie in the folder `source`, which it was made from.
///
/// A new folder appears whole or not at all. In one that such a call has made before, file after file is
/// replaced, the weights last.
///
/// # Errors
/// As [`save_model`]; [`FileError::Occupied`] for a folder that holds anything else, [`FileError::Read`] for
/// what cannot be copied.
pub fn save_folder(
    out: impl AsRef<Path>,
    source: impl AsRef<Path>,
    model: &dyn Model,
    provenance: &Provenance,
) -> Result<()> {
    let (out, source) = (out.as_ref(), source.as_ref());
    check_folder(out)?;
    let copies = beside(source)?;
    let fill = |folder: &Path| {
        for name in &copies {
            let from = source.join(name);
            let read = |error| FileError::Read { path: from.clone(), source: error };
            let bytes = fs::read(&from).map_err(read)?;
            let to = folder.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(unwritable(parent))?;
            }
            replace(&to, |file| file.write_all(&bytes))?;
        }
        save_model(folder.join(WEIGHTS), model, provenance)
    };
    if out.is_dir() {
        return fill(out);
    }
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let folder = TemporaryFolder::in_folder(parent, ".saving-").map_err(unwritable(out))?;
    fill(folder.path())?;
    folder.rename(out).map_err(unwritable(out))?;
    Ok(())
}

/// Finds out, before the work that a folder is to hold, whether [`save_folder`] could write there.
///
/// # Errors
/// [`FileError::Occupied`] and [`FileError::Write`].
pub fn check_folder(out: impl AsRef<Path>) -> Result<()> {
    let out = out.as_ref();
    if !out.exists() {
        let name = out.components().next_back();
        if !matches!(name, Some(Component::Normal(_))) {
            let problem = io::Error::new(io::ErrorKind::InvalidInput, "it has no name");
            return Err(unwritable(out)(problem).into());
        }
        let sibling = out.parent().unwrap_or(Path::new("")).join(".saving-nothing");
        return super::check_writable(sibling);
    }
    let occupied = || FileError::Occupied { path: out.to_path_buf() };
    if !out.is_dir() {
        return Err(occupied().into());
    }
    let is_empty = fs::read_dir(out).map_err(unwritable(out))?.next().is_none();
    if !is_empty && !own_file(out).is_ok_and(|file| file.is_some()) {
        return Err(occupied().into());
    }
    super::check_writable(out.join(WEIGHTS))
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Write { path: path.clone(), source }
}

/// What is copied of a folder, by paths inside it.
fn beside(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = BESIDE.iter().map(PathBuf::from).collect();
    // A tokenizer of llama2.c has the number of its tokens in its name.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = PathBuf::from(entry.file_name());
        let is_bin = name.extension() == Some(OsStr::new("bin"));
        let stem = name.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        if is_bin && stem.strip_prefix("tok").is_some_and(|count| count.parse::<u32>().is_ok()) {
            found.push(name);
        }
    }
    let stages = folder.join(STAGES);
    if stages.exists() {
        let text = super::settings::read_text(&stages)?;
        let stages: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        let paths = stages.iter().filter_map(|stage| stage.get("path")?.as_str());
        let is_inside = |path: &&str| {
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        let inside = paths.filter(|path| !path.is_empty()).filter(is_inside);
        found.extend(inside.map(|path| Path::new(path).join("config.json")));
    }
    found.retain(|name| folder.join(name).is_file());
    Ok(found)
}
