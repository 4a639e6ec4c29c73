//! What every tokenizer does.

use super::{TextError, Vocab};
use std::fmt;
use tinytorch_core::Result;

/// Turns text into the token ids a model takes, and ids back into text.
///
/// Ids are `i64`, as index tensors are, and run from 0 to [`vocab_size`](Tokenizer::vocab_size) - 1.
pub trait Tokenizer: fmt::Debug + Send + Sync {
    /// The ids of `text`, with whatever special tokens the model expects around them.
    ///
    /// # Errors
    /// Those that the implementation names; none of the tokenizers here refuses a text.
    fn encode(&self, text: &str) -> Result<Vec<i64>>;

    /// Appends the bytes that `id` adds to the text of the ids `before` it.
    ///
    /// A token may be half a character, so these are bytes; [`decode`](Tokenizer::decode) and
    /// [`TextStream`](super::TextStream) put characters together.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()>;

    /// The tokens and their ids.
    fn vocab(&self) -> &Vocab;

    /// The ids, ascending, that are not pieces of text but have a meaning of their own, such as
    /// the end of a text or an unknown word.
    fn special_tokens(&self) -> &[i64];

    /// The ids at which a generated text ends: those that are not pieces of text, but for the one
    /// that stands for text outside the vocabulary (`<unk>`, `[UNK]`).
    fn end_tokens(&self) -> Vec<i64> {
        let is_unknown = |id: i64| {
            let name = self.token(id).unwrap_or_default();
            name.trim_matches(['<', '>', '[', ']']).eq_ignore_ascii_case("unk")
        };
        self.special_tokens().iter().copied().filter(|&id| !is_unknown(id)).collect()
    }

    /// The text of `ids`; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    fn decode(&self, ids: &[i64]) -> Result<String> {
        let bytes = self.decode_bytes(ids)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The text of `ids` as the bytes they stand for, whether they are UTF-8 or not.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    fn decode_bytes(&self, ids: &[i64]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (at, &id) in ids.iter().enumerate() {
            self.append(&ids[..at], id, &mut out)?;
        }
        Ok(out)
    }

    /// Number of tokens: the rows an embedding for this tokenizer needs.
    fn vocab_size(&self) -> usize {
        self.vocab().len()
    }

    /// The token with this id, as the vocabulary writes it.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    fn token(&self, id: i64) -> Result<&str> {
        self.vocab().token(id).map_err(tinytorch_core::Error::from)
    }

    /// The id of a token, written as the vocabulary writes it.
    fn id(&self, token: &str) -> Option<i64> {
        self.vocab().id(token)
    }
}

/// The text of `bytes`, for those that read text from files.
///
/// # Errors
/// [`TextError::NotUtf8`], naming `what` and the first byte that does not fit.
pub fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, TextError> {
    std::str::from_utf8(bytes)
        .map_err(|e| TextError::NotUtf8 { what: what.to_owned(), offset: e.valid_up_to() })
}
