//! `audit` by a plain text: what decoders foresee of it, and what sentence encoders make of its lines.

use crate::data::Part;
use crate::language::reader;
use crate::problem::Problem;
use crate::sentences::{read, sentence_ids};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::{Cosine, HeldOut, ModelFiles, Subject, Task};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Examples, next_tokens};
use tinytorch::generate::GenerateError;
use tinytorch::models::{DecoderSizes, Model, Rebuild, SentenceEncoder};
use tinytorch::nn::Forward;
use tinytorch::text::Tokenizer;

/// Windows that a text is cut into at least, if it has the tokens: 30 samples decide what a gate asks.
const WINDOWS: usize = 32;

/// Tokens to judge by at most, of a long text evenly spread ones.
const TOKENS: usize = 1 << 14;

/// Scores that one model gives at most: 512 MB of floats.
const SCORES: usize = 1 << 27;

/// Sentences of a pass.
const BATCH: usize = 32;

/// The float and the int8 model at `paths`, judged by the text in the file `data`.
pub(super) fn subject(paths: [&Path; 2], files: ModelFiles, data: &Path) -> Result<Subject> {
    let [float, _] = files.models();
    let (held_out, task): (HeldOut, Task) = if let Some(decoder) = float.as_decoder() {
        (windows(paths, &files, decoder.sizes(), data)?.into(), Task::LanguageModel)
    } else if float.kind() == SentenceEncoder::NAME {
        (vectors(paths, float, data)?, Task::Own(Arc::new(Cosine)))
    } else {
        let path = paths[0].to_path_buf();
        return Err(Problem::TextModel { data: data.display().to_string(), path }.into());
    };
    let int8 = paths[1].display();
    let subject = files.judged_by(held_out).with_context(|| int8.to_string())?.task(task);
    Ok(subject.judged_on(data.display().to_string(), Part::All.words()))
}

/// What turns a text into ids for both models: what the float model has, or else the int8 model.
pub(super) fn own_reader(
    paths: [&Path; 2],
    files: &ModelFiles,
) -> Result<Option<Box<dyn Tokenizer>>> {
    for ((path, model), provenance) in paths.iter().zip(files.models()).zip(files.provenances()) {
        if let Some(found) = reader(path, model, provenance)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The text in windows of next tokens.
fn windows(
    paths: [&Path; 2],
    files: &ModelFiles,
    sizes: DecoderSizes,
    data: &Path,
) -> Result<Examples> {
    let Some(tokenizer) = own_reader(paths, files)? else {
        let data = data.display().to_string();
        return Err(Problem::UnknownIds { data, vocab: sizes.vocab }.into());
    };
    let (tokens, model) = (tokenizer.vocab_size(), sizes.vocab);
    if tokens > model {
        let problem = GenerateError::Vocabulary { tokenizer: tokens, model };
        return Err(tinytorch::Error::from(problem).into());
    }
    let ids = tokenizer.encode(&read(data)?)?;
    let most = TOKENS.min(SCORES / sizes.vocab.max(1)).max(WINDOWS);
    let (length, stride) = cut(ids.len(), sizes.context, most);
    next_tokens(&ids, length, stride).with_context(|| data.display().to_string())
}

/// Length of windows and tokens from one to the next, of a text of so many tokens, of which `most` are used.
fn cut(tokens: usize, context: usize, most: usize) -> (usize, usize) {
    let all = tokens.saturating_sub(1);
    let length = context.min(all.min(most) / WINDOWS).max(1);
    let windows = (most / length).max(1);
    (length, length.max(all.div_ceil(windows)))
}

/// The sentences, and what the float model makes of them.
fn vectors(paths: [&Path; 2], float: &dyn Model, data: &Path) -> Result<HeldOut> {
    let ids = sentence_ids(&paths, data, usize::MAX)?;
    let count = ids.shape()[0];
    let batch = |start: usize| {
        let ids = ids.slice(0, start..count.min(start + BATCH))?;
        Ok(float.call(&Var::from(ids), &mut Ctx::eval())?.into_value())
    };
    let vectors: Vec<Tensor> =
        (0..count).step_by(BATCH).map(batch).collect::<tinytorch::Result<_>>()?;
    Ok(HeldOut::new([ids], [Tensor::cat::<f32>(&vectors, 0)?])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_enough_windows() {
        // Long ones fill the context, spread over the whole text.
        assert_eq!(cut(1_000_001, 512, 1 << 14), (512, 31_250));
        assert_eq!(cut(10_001, 64, 1 << 14), (64, 64));
        // Short ones are cut shorter.
        assert_eq!(cut(641, 512, 1 << 14), (20, 20));
        assert_eq!(cut(3, 512, 1 << 14), (1, 1));
        for (tokens, context, most) in [(100_000, 256, 888), (5_000, 2_048, 4_194), (9, 4, 32)] {
            let (length, stride) = cut(tokens, context, most);
            let ids: Vec<i64> = (0..tokens as i64).collect();
            let windows = next_tokens(&ids, length, stride).unwrap();
            let count = windows.inputs().shape()[0];
            assert!(count >= WINDOWS.min(tokens - 1) && count * length <= most, "{count} {length}");
        }
    }
}
