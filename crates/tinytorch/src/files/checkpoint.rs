//! The weights of a model that another program has saved: one file, or several with an index.

use super::settings::{json_problem, read_text};
use super::{ContentError, TensorFile, TensorInfo};
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// Ends the name of an index.
pub(super) const INDEX: &str = ".index.json";

/// The tensors of one model.
pub(super) struct Checkpoint {
    files: Vec<TensorFile>,
    /// The file in which each tensor lies.
    at: BTreeMap<String, usize>,
}

/// What an index holds.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a safetensors file, or all that an index of them names.
    ///
    /// # Errors
    /// As [`TensorFile::open`]; [`FileError::Json`](super::FileError::Json) for an index that cannot be used,
    /// or names a file or a tensor that is not there.
    pub(super) fn open(path: &Path) -> Result<Checkpoint> {
        if path.to_string_lossy().ends_with(INDEX) {
            return Checkpoint::sharded(path);
        }
        let file = TensorFile::open(path)?;
        let at = file.tensors().map(|(name, _)| (name.to_string(), 0)).collect();
        Ok(Checkpoint { files: vec![file], at })
    }

    fn sharded(path: &Path) -> Result<Checkpoint> {
        let index: Index = serde_json::from_str(&read_text(path)?)
            .map_err(|error| json_problem(path, format!("it is no index of weights: {error}")))?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Err(json_problem(path, "it names no files".to_string()));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut files, mut at) = (Vec::with_capacity(names.len()), BTreeMap::new());
        for name in names {
            let inside = Path::new(name).components().collect::<Vec<_>>();
            if !matches!(inside[..], [Component::Normal(_)]) {
                return Err(json_problem(path, format!("{name:?} is no file of this folder")));
            }
            let part = folder.join(name);
            if !part.exists() {
                let problem =
                    format!("it names the file {name}, which is missing; download it too");
                return Err(json_problem(path, problem));
            }
            let file = TensorFile::open(part)?;
            for (tensor, _) in file.tensors() {
                if at.insert(tensor.to_string(), files.len()).is_some() {
                    let problem = format!("two of its files have a tensor {tensor:?}");
                    return Err(json_problem(path, problem));
                }
            }
            files.push(file);
        }
        for (tensor, name) in &index.weight_map {
            let found = at.get(tensor).and_then(|&i: &usize| files[i].path().file_name());
            if found.is_none_or(|found| found != name.as_str()) {
                let problem = format!("the file {name} has no tensor {tensor:?}, as it should");
                return Err(json_problem(path, problem));
            }
        }
        Ok(Checkpoint { files, at })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.at.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.at.keys().map(String::as_str)
    }

    /// The file with this tensor, or the first, which can say that there is none.
    fn file(&self, name: &str) -> &TensorFile {
        &self.files[self.at.get(name).copied().unwrap_or(0)]
    }

    pub(super) fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.file(name).info(name)
    }

    /// Whether two tensors have the same bytes.
    pub(super) fn are_equal(&self, first: &str, second: &str) -> Result<bool> {
        let mut first = self.file(first).reading(first)?;
        let mut second = self.file(second).reading(second)?;
        let (mut one, mut other) = (Vec::new(), Vec::new());
        while first.piece(&mut one)? | second.piece(&mut other)? {
            if one != other {
                return Ok(false);
            }
        }
        first.finish()?;
        second.finish()?;
        Ok(true)
    }

    /// Refuses to read tensors that take more memory than there is.
    pub(super) fn require_memory(&self, names: &[String]) -> Result<()> {
        for file in &self.files {
            let here = names.iter().map(String::as_str).filter(|name| file.contains(name));
            file.require_memory(here)?;
        }
        Ok(())
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        self.file(name).tensor(name)
    }

    pub(super) fn problem(&self, tensor: &str, problem: ContentError) -> Error {
        self.file(tensor).problem(problem)
    }
}
