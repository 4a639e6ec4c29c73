//! Text in files: as a whole, and a sentence on each line.

use crate::problem::Problem;
use crate::standard;
use anyhow::Result;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::files::{Embedder, FileError};

/// Whether a path names a plain text.
pub(crate) fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

/// The text in a file or of standard input, which must be UTF-8.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = standard::read(path)
        .map_err(|source| tinytorch::Error::from(FileError::Read { path: path.into(), source }))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        Problem::NotUtf8 { path: path.to_path_buf(), line }.into()
    })
}

/// The lines of a text, none of which may be empty; `path` is where it comes from.
pub(crate) fn sentences<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, Problem> {
    let sentences: Vec<&str> = text.lines().collect();
    if sentences.is_empty() {
        return Err(Problem::NoText { path: path.to_path_buf() });
    }
    match sentences.iter().position(|sentence| sentence.trim().is_empty()) {
        Some(at) => Err(Problem::EmptyLine { path: path.to_path_buf(), line: at + 1 }),
        None => Ok(sentences),
    }
}

/// Up to `most` lines of the text in the file `data`, evenly spread over it, as sentence encoders take them: by the
/// tokenizer in the first of these that is a folder.
pub(crate) fn sentence_ids(models: &[&Path], data: &Path, most: usize) -> Result<Tensor> {
    let Some(folder) = models.iter().find(|path| path.is_dir()) else {
        let looked = match models.len() {
            1 => "its folder",
            _ => "the folder of either model",
        };
        let (path, looked) = (models[0].to_path_buf(), looked.to_string());
        return Err(Problem::NoSentenceTokenizer { path, looked }.into());
    };
    let text = read(data)?;
    let sentences = sentences(data, &text)?;
    let every = sentences.len().div_ceil(most.max(1));
    let chosen: Vec<&str> = sentences.into_iter().step_by(every).collect();
    Ok(Embedder::load(folder)?.ids(&chosen)?)
}
