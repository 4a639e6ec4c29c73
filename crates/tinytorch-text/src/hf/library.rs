//! Tokenizers that Hugging Face's own library runs, of every kind that the readers of this crate do not.

use super::decoder::Decoder;
use crate::{TextError, Tokenizer, Vocab, check_length};
use serde_json::Value;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tinytorch_core::Result;

/// Ids that may be left out before the largest one, beside seven for each token that is there.
const MOST_HOLES: usize = 1 << 16;

/// A tokenizer that the library runs; what stands around a text is not its business.
#[derive(Debug)]
pub(super) struct LibraryTokenizer {
    library: tokenizers::Tokenizer,
    vocab: Vocab,
    special: Vec<i64>,
    /// Ids that no token has.
    holes: Vec<i64>,
    decoder: Decoder,
}

impl LibraryTokenizer {
    /// Reads the content of a `tokenizer.json` but for its truncation, padding and post-processor.
    pub(super) fn from_json(json: &[u8]) -> Result<LibraryTokenizer, TextError> {
        let not_json = |error: &dyn std::fmt::Display| TextError::not_json(error.to_string());
        let mut file: Value = serde_json::from_slice(json).map_err(|error| not_json(&error))?;
        if !file.is_object() {
            return Err(TextError::not_json("it is no object".to_owned()));
        }
        for others in ["truncation", "padding", "post_processor"] {
            file[others] = Value::Null;
        }
        without_empty_maps(&mut file["normalizer"]);
        let dropout = file["model"].get("dropout").and_then(Value::as_f64).unwrap_or(0.0);
        if dropout != 0.0 {
            return Err(TextError::unsupported("model", "BPE with dropout", "a fixed split"));
        }
        let decoder = Decoder::of(file.get("decoder"))?;
        let library: tokenizers::Tokenizer = guarded(|| serde_json::from_value(file))
            .ok_or_else(|| TextError::not_json("a part of it is damaged".to_owned()))?
            .map_err(|error| not_json(&error))?;
        let (vocab, holes) = vocab_of(library.get_vocab(true))?;
        let added = library.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id.into());
        let mut special: Vec<i64> = special.collect();
        special.sort_unstable();
        Ok(LibraryTokenizer { library, vocab, special, holes, decoder })
    }

    fn is_text(&self, id: i64) -> bool {
        self.special.binary_search(&id).is_err() && self.holes.binary_search(&id).is_err()
    }
}

/// What the library gives; none if it panics, as it does over maps of characters that are damaged.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    // What it was working on is dropped, or only read.
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Takes out maps of characters that map none, which the library does not read.
fn without_empty_maps(normalizer: &mut Value) {
    let is_empty = |part: &Value| {
        part.get("type").is_some_and(|kind| kind == "Precompiled")
            && part.get("precompiled_charsmap").is_none_or(|map| map.is_null() || map == "")
    };
    if is_empty(normalizer) {
        *normalizer = Value::Null;
    }
    if let Some(parts) = normalizer.get_mut("normalizers").and_then(Value::as_array_mut) {
        parts.retain(|part| !is_empty(part));
    }
}

/// The tokens in the order of their ids, and the ids that none has, which get a name that no text is.
fn vocab_of(tokens: HashMap<String, u32>) -> Result<(Vocab, Vec<i64>), TextError> {
    let mut entries: Vec<(u32, String)> =
        tokens.into_iter().map(|(token, id)| (id, token)).collect();
    entries.sort_unstable();
    let largest = entries.last().map_or(0, |(id, _)| *id as usize);
    let limit = 8 * entries.len() + MOST_HOLES;
    if largest >= limit {
        let what = "the largest id of a token";
        return Err(TextError::TooLarge { what, size: largest as u64, limit: limit as u64 });
    }
    let (mut vocab, mut holes) = (Vocab::default(), Vec::new());
    for (id, token) in entries {
        while vocab.len() < id as usize {
            holes.push(vocab.len() as i64);
            vocab.push(&format!("\u{0}{}", vocab.len()))?;
        }
        vocab.insert(&token, id.into())?;
    }
    Ok((vocab, holes))
}

impl Tokenizer for LibraryTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        check_length(text)?;
        let damaged = || TextError::Encode { reason: "a part of its file is damaged".to_owned() };
        let encoding = guarded(|| self.library.encode(text, false))
            .ok_or_else(damaged)?
            .map_err(|error| TextError::Encode { reason: error.to_string() })?;
        Ok(encoding.get_ids().iter().map(|&id| id.into()).collect())
    }

    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        let token = self.vocab.token(id)?;
        if self.is_text(id) {
            let is_first = !before.iter().any(|&id| self.is_text(id));
            self.decoder.append(token, is_first, out);
        }
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        &self.special
    }
}
