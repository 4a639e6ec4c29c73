//! A sentence encoder with its tokenizer, from a folder.

use super::folder::{read_architecture, weights};
use super::import::import_into;
use super::pooling::read_pooling;
use super::settings::{json_problem, read_text};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{Architecture, Bert, Pooling, SentenceEncoder};
use crate::nn::{Forward, Init};
use crate::tensor::Tensor;
use crate::text::{HfTokenizer, Padding, Tokenizer, Truncation};
use serde::Deserialize;
use std::path::{Component, Path};

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
}

impl Embedder {
    /// Reads a folder as sentence-transformers publishes models: `config.json`, `model.safetensors` and
    /// `tokenizer.json`, and if there are, `modules.json` with its pooling,
    /// `sentence_bert_config.json` and `config_sentence_transformers.json`. Without `modules.json` vectors are means of any length.
    ///
    /// # Errors
    /// As [`import_folder`](super::import_folder) and [`HfTokenizer::load`];
    /// [`FileError::Json`](super::FileError::Json) for settings of another kind of model.
    pub fn load(folder: impl AsRef<Path>) -> Result<Embedder> {
        let folder = folder.as_ref();
        let architecture = read_architecture(folder)?;
        let Architecture::Bert(config) = &architecture else {
            let problem = "the model is no encoder; sentences are encoded by a BERT".to_string();
            return Err(json_problem(&folder.join("config.json"), problem));
        };
        let (pooling, normalize) = stages(folder, config.dim)?;
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
        let mut bert = Bert::new(config, &mut Init::absent())?;
        import_into(&mut bert, &weights(folder)?, &architecture)?;
        let encoder = SentenceEncoder { bert, pooling, normalize };
        Ok(Embedder { encoder, tokenizer, lower_case: do_lower_case })
    }

    /// A vector for each text, `[texts, dim]`. A text that is too long is cut.
    ///
    /// # Errors
    /// [`TextError::EmptyBatch`](crate::text::TextError::EmptyBatch) for no texts.
    pub fn embed<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor> {
        let mut vectors = Vec::with_capacity(texts.len().div_ceil(BATCH));
        // At least one, so that no texts are the tokenizer's error.
        for start in (0..texts.len().max(1)).step_by(BATCH) {
            let texts = &texts[start..texts.len().min(start + BATCH)];
            let batch = match self.lower_case {
                true => {
                    let lower: Vec<String> =
                        texts.iter().map(|text| text.as_ref().to_lowercase()).collect();
                    self.tokenizer.encode_batch(&lower)?
                }
                false => self.tokenizer.encode_batch(texts.iter().map(S::as_ref))?,
            };
            vectors.push(self.encoder.call(&Var::from(batch.ids), &mut Ctx::eval())?.into_value());
        }
        Tensor::cat::<f32>(&vectors, 0)
    }
}

#[derive(Deserialize)]
struct Stage {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// How the stages that follow the encoder pool its vectors of `dim` entries, and whether they normalize.
fn stages(folder: &Path, dim: usize) -> Result<(Pooling, bool)> {
    let path = folder.join("modules.json");
    if !path.exists() {
        return Ok((Pooling::Mean, false));
    }
    let problem = |problem: String| json_problem(&path, problem);
    let stages: Vec<Stage> =
        serde_json::from_str(&read_text(&path)?).map_err(|error| problem(error.to_string()))?;
    let kinds: Vec<&str> =
        stages.iter().map(|s| s.kind.rsplit('.').next().unwrap_or_default()).collect();
    let normalize = match kinds[..] {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => {
            let kinds = kinds.join(", ");
            return Err(problem(format!(
                "the stages are {kinds}; supported are Transformer, Pooling and Normalize"
            )));
        }
    };
    let inside = Path::new(&stages[1].path);
    if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(problem(format!("{:?} is no path below the folder", stages[1].path)));
    }
    let pooling = read_pooling(&folder.join(inside).join("config.json"), dim)?;
    Ok((pooling, normalize))
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
