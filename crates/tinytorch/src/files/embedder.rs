//! A sentence encoder with its tokenizer, from a folder.

use super::folder::{json_problem, read_architecture, read_text, weights};
use super::import::import_into;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{Architecture, Bert, SentenceEncoder};
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
}

impl Embedder {
    /// Reads a folder as sentence-transformers publishes models: `config.json`, `model.safetensors` and
    /// `tokenizer.json`, and if there are, `modules.json` with its pooling and
    /// `sentence_bert_config.json`. Without `modules.json` vectors are means of any length.
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
        let normalize = reads_normalized(folder)?;
        let length = max_length(folder)?.unwrap_or(config.context).min(config.context);
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
        Ok(Embedder { encoder: SentenceEncoder { bert, normalize }, tokenizer })
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
            let batch = self.tokenizer.encode_batch(texts.iter().map(S::as_ref))?;
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

#[derive(Deserialize)]
struct Limits {
    max_seq_length: Option<usize>,
}

/// Whether the stages that follow the encoder normalize; any but a mean before that are refused.
fn reads_normalized(folder: &Path) -> Result<bool> {
    let path = folder.join("modules.json");
    if !path.exists() {
        return Ok(false);
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
    check_pooling(&folder.join(inside).join("config.json"))?;
    Ok(normalize)
}

/// Refuses every pooling but the mean of all tokens.
fn check_pooling(path: &Path) -> Result<()> {
    let problem = |problem: String| json_problem(path, problem);
    let settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&read_text(path)?).map_err(|error| problem(error.to_string()))?;
    for (name, value) in settings.iter().filter(|(name, _)| name.starts_with("pooling_mode_")) {
        if *value != (name == "pooling_mode_mean_tokens") {
            return Err(problem(format!(
                "{name} is {value}; only the mean of tokens is supported"
            )));
        }
    }
    Ok(())
}

/// The number of tokens that the model was trained with, if the folder says it.
fn max_length(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("sentence_bert_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let limits: Limits = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| json_problem(&path, error.to_string()))?;
    Ok(limits.max_seq_length)
}
