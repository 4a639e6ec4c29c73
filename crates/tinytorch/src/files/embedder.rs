//! A sentence encoder with its tokenizer, from a folder.

use super::encoder::read_encoder;
use super::folder::read_architecture;
use super::settings::{json_problem, read_text};
use super::{Loaded, Provenance};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{Architecture, Rebuild, SentenceConfig, SentenceEncoder};
use crate::nn::Forward;
use crate::tensor::Tensor;
use crate::text::{HfTokenizer, Padding, Tokenizer, Truncation};
use serde::Deserialize;
use std::path::Path;

/// Texts of a pass.
const BATCH: usize = 32;

/// A sentence encoder with its tokenizer: text in, vectors out.
#[derive(Clone, Debug)]
pub struct Embedder {
    /// The model.
    pub encoder: SentenceEncoder,
    /// What turns text into its ids.
    pub tokenizer: HfTokenizer,
    /// Whether text is turned to lower case before the tokenizer sees it.
    pub lower_case: bool,
    /// Where the model comes from.
    pub provenance: Provenance,
}

impl Embedder {
    /// Whether a folder's `config.json` describes an encoder, so that [`Embedder::load`] is what reads it.
    pub fn is_in(folder: impl AsRef<Path>) -> bool {
        matches!(read_architecture(folder.as_ref()), Ok(Architecture::Bert(_)))
    }

    /// Reads a folder as sentence-transformers publishes models: `config.json`, `model.safetensors` and
    /// `tokenizer.json`, and if there are, `modules.json` with its pooling,
    /// `sentence_bert_config.json` and `config_sentence_transformers.json`. Without `modules.json` vectors are
    /// means of any length. The weights may be those of [`save_folder`](super::save_folder), int8 ones too.
    ///
    /// # Errors
    /// As [`import_folder`](super::import_folder) and [`HfTokenizer::load`];
    /// [`FileError::Json`](super::FileError::Json) for settings of another kind of model.
    pub fn load(folder: impl AsRef<Path>) -> Result<Embedder> {
        let folder = folder.as_ref();
        let Loaded { model: encoder, provenance } = read_encoder(folder)?;
        let SentenceConfig { bert: config, .. } = encoder.config();
        check_prompt(folder)?;
        let Limits { max_seq_length, do_lower_case } = limits(folder)?;
        let length = max_seq_length.unwrap_or(config.context).min(config.context);
        let tokenizer = HfTokenizer::load(folder.join("tokenizer.json"))?;
        if tokenizer.vocab_size() > config.vocab {
            let (got, vocab) = (tokenizer.vocab_size(), config.vocab);
            let problem = format!("there are {got} tokens where the model has {vocab}");
            return Err(json_problem(&folder.join("tokenizer.json"), problem));
        }
        let pad = config.pad as i64;
        let padding = Padding::new(pad, tokenizer.token(pad)?);
        let truncation = Truncation::new(length);
        let tokenizer = tokenizer.with_truncation(Some(truncation)).with_padding(Some(padding))?;
        Ok(Embedder { encoder, tokenizer, lower_case: do_lower_case, provenance })
    }

    /// A vector for each text, `[texts, dim]`. A text that is too long is cut.
    ///
    /// # Errors
    /// [`TextError::EmptyBatch`](crate::text::TextError::EmptyBatch) for no texts.
    pub fn embed<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor> {
        let mut vectors = Vec::with_capacity(texts.len().div_ceil(BATCH));
        // At least one, so that no texts are the tokenizer's error.
        for start in (0..texts.len().max(1)).step_by(BATCH) {
            let ids = self.ids(&texts[start..texts.len().min(start + BATCH)])?;
            vectors.push(self.encoder.call(&Var::from(ids), &mut Ctx::eval())?.into_value());
        }
        Tensor::cat::<f32>(&vectors, 0)
    }

    /// The ids of these texts, `[texts, length]`, filled up to the longest.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn ids<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor> {
        let batch = match self.lower_case {
            true => {
                let lower: Vec<String> =
                    texts.iter().map(|text| text.as_ref().to_lowercase()).collect();
                self.tokenizer.encode_batch(&lower)?
            }
            false => self.tokenizer.encode_batch(texts.iter().map(S::as_ref))?,
        };
        Ok(batch.ids)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// What `sentence_bert_config.json` says of texts, if there is one.
fn limits(folder: &Path) -> Result<Limits> {
    let path = folder.join("sentence_bert_config.json");
    if !path.exists() {
        return Ok(Limits::default());
    }
    serde_json::from_str(&read_text(&path)?).map_err(|error| json_problem(&path, error.to_string()))
}

/// Refuses an encoder that puts words of its own before every text.
fn check_prompt(folder: &Path) -> Result<()> {
    let path = folder.join("config_sentence_transformers.json");
    if !path.exists() {
        return Ok(());
    }
    let settings: serde_json::Value = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| json_problem(&path, error.to_string()))?;
    match settings.get("default_prompt_name") {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(name) => {
            let problem = format!(
                "default_prompt_name is {name}, and prompts are not supported; put the words before each text and leave it out"
            );
            Err(json_problem(&path, problem))
        }
    }
}
