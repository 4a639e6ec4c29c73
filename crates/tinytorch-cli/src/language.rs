//! Language models for commands: a file, and the tokenizer that belongs to it.

use crate::data::{example, usual_config};
use crate::problem::Problem;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tinytorch::files::{Loaded, Provenance, TextMarks, open_model};
use tinytorch::models::{Decoder, Model, Sample};
use tinytorch::quant::quantize_model;
use tinytorch::text::{Begin, BegunTokenizer, Tokenizer, load_tokenizer};

/// A model that scores the next token, and its tokenizer.
pub(crate) struct Language {
    pub(crate) model: Box<dyn Model>,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
    /// Tokens at which a text ends.
    pub(crate) ends: Vec<i64>,
}

impl Language {
    /// The model in `file`, with the tokenizer that was named, that the file carries, or that lies
    /// beside it. Where texts begin and end is what the model's files say, or else its tokenizer.
    pub(crate) fn open(file: &Path, tokenizer: Option<&Path>) -> Result<Language> {
        let Loaded { model, provenance } = open_model(file)?;
        let vocab = decoder(&*model, file)?.sizes().vocab;
        let tokenizer: Box<dyn Tokenizer> = match (tokenizer, provenance.tokenizer()?) {
            (Some(named), _) => load_tokenizer(named)?,
            (None, Some(carried)) => Box::new(carried),
            (None, None) => match beside(file, vocab) {
                Ok(found) => load_tokenizer(found)?,
                Err(names) => {
                    let (path, looked) = (file.into(), names.join(", "));
                    return Err(Problem::NoTokenizer { path, looked }.into());
                }
            },
        };
        let marks = provenance.text_marks().with_context(|| file.display().to_string())?;
        let ends = marks.ends.clone().unwrap_or_else(|| tokenizer.end_tokens());
        let tokenizer = beginning(tokenizer, &marks)?;
        Ok(Language { model, tokenizer, ends })
    }

    /// The model as a decoder, which `open` has found it to be.
    pub(crate) fn decoder(&self, file: &Path) -> Result<&dyn Decoder> {
        decoder(&*self.model, file)
    }
}

/// The tokenizer that begins texts as the model's files say.
fn beginning(tokenizer: Box<dyn Tokenizer>, marks: &TextMarks) -> Result<Box<dyn Tokenizer>> {
    let begin = match marks.add_begin {
        None => Begin::Empty,
        Some(true) => Begin::Always,
        Some(false) => Begin::Never,
    };
    Ok(match marks.begin {
        Some(token) => Box::new(BegunTokenizer::new(tokenizer, token, begin)?),
        None => tokenizer,
    })
}

/// What turns a text into ids for the model in `file`, as [`Language::open`] finds it; `None` if nothing is
/// known that does.
pub(crate) fn reader(
    file: &Path,
    model: &dyn Model,
    provenance: &Provenance,
) -> Result<Option<Box<dyn Tokenizer>>> {
    let Some(tokenizer) = own_tokenizer(file, model, provenance)? else { return Ok(None) };
    let marks = provenance.text_marks().with_context(|| file.display().to_string())?;
    Ok(Some(beginning(tokenizer, &marks)?))
}

/// Turns the weights into int8 as suits the model.
pub(crate) fn quantize(model: &mut dyn Model) -> Result<()> {
    let config = usual_config(model).knowingly();
    let example = example(model, 1)?;
    quantize_model(model, [Ok(example.into())], &config)?;
    Ok(())
}

/// The model as one that generates text; `file` is where it comes from.
pub(crate) fn decoder<'m>(model: &'m dyn Model, file: &Path) -> Result<&'m dyn Decoder> {
    model.as_decoder().ok_or_else(|| Problem::NotALanguageModel { path: file.into() }.into())
}

/// The tokenizer that a model's file carries, or that lies beside it, if there is one and the model takes
/// ids.
pub(crate) fn own_tokenizer(
    file: &Path,
    model: &dyn Model,
    provenance: &Provenance,
) -> Result<Option<Box<dyn Tokenizer>>> {
    if let Some(carried) = provenance.tokenizer()? {
        return Ok(Some(Box::new(carried)));
    }
    match model.samples()?[..] {
        [Sample::Ids { vocab, .. }] => match beside(file, vocab) {
            Ok(found) => Ok(Some(load_tokenizer(found)?)),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The tokenizer's file in a model's folder, under one of the names that are usual, which are the error.
fn beside(file: &Path, vocab: usize) -> Result<PathBuf, [String; 4]> {
    let folder = if file.is_dir() { file } else { file.parent().unwrap_or(Path::new("")) };
    let names = ["tokenizer.json", "tokenizer.model", &format!("tok{vocab}.bin"), "tokenizer.bin"]
        .map(String::from);
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or(names)
}
