//! Language models for commands: a file, and the tokenizer that belongs to it.

use crate::data::{example, usual_config};
use crate::problem::Problem;
use anyhow::Result;
use std::path::{Path, PathBuf};
use tinytorch::files::{Loaded, open_model};
use tinytorch::models::{Decoder, Model};
use tinytorch::quant::quantize_model;
use tinytorch::text::{Tokenizer, load_tokenizer};

/// A model that scores the next token, and its tokenizer.
pub(crate) struct Language {
    pub(crate) model: Box<dyn Model>,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
}

impl Language {
    /// The model in `file`, with the tokenizer that was named, that the file carries, or that lies
    /// beside it.
    pub(crate) fn open(file: &Path, tokenizer: Option<&Path>) -> Result<Language> {
        let Loaded { model, provenance } = open_model(file)?;
        let vocab = decoder(&*model, file)?.sizes().vocab;
        let tokenizer: Box<dyn Tokenizer> = match (tokenizer, provenance.tokenizer()?) {
            (Some(named), _) => load_tokenizer(named)?,
            (None, Some(carried)) => Box::new(carried),
            (None, None) => load_tokenizer(beside(file, vocab)?)?,
        };
        Ok(Language { model, tokenizer })
    }

    /// The model as a decoder, which `open` has found it to be.
    pub(crate) fn decoder(&self, file: &Path) -> Result<&dyn Decoder> {
        decoder(&*self.model, file)
    }
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

/// The tokenizer's file in a model's folder, under one of the names that are usual.
fn beside(file: &Path, vocab: usize) -> Result<PathBuf, Problem> {
    let folder = if file.is_dir() { file } else { file.parent().unwrap_or(Path::new("")) };
    let names = ["tokenizer.json".to_string(), format!("tok{vocab}.bin"), "tokenizer.bin".into()];
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| Problem::NoTokenizer { path: file.into(), looked: names.join(", ") })
}
