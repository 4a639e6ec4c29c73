//! One token a character.

use super::{Shown, TextError, Tokenizer, Vocab, file, hf};
use std::{collections::BTreeSet, path::Path};
use tinytorch_core::Result;

/// One token per character.
///
/// Id 0 is [`CharTokenizer::UNKNOWN`]: every character that was not in the corpus becomes it, and
/// it decodes to its name, so that a loss is seen. The characters follow in code point order.
///
/// ```
/// use tinytorch_text::{CharTokenizer, Tokenizer};
/// let tokenizer = CharTokenizer::from_corpus("hello")?;
/// assert_eq!(tokenizer.encode("hole!")?, [2, 4, 3, 1, 0]);
/// assert_eq!(tokenizer.decode(&[2, 4, 3, 1, 0])?, "hole<UNK>");
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharTokenizer {
    vocab: Vocab,
}

impl CharTokenizer {
    /// The token of characters outside the vocabulary.
    pub const UNKNOWN: &str = "<UNK>";

    /// A tokenizer for the characters of `corpus`.
    ///
    /// # Errors
    /// [`TextError::EmptyCorpus`] if there are none.
    pub fn from_corpus(corpus: &str) -> Result<CharTokenizer> {
        if corpus.is_empty() {
            return Err(TextError::EmptyCorpus.into());
        }
        CharTokenizer::from_chars(corpus.chars().collect::<BTreeSet<_>>())
    }

    /// A tokenizer that gives the characters the ids 1, 2, 3, ... in this order.
    ///
    /// # Errors
    /// [`TextError::DuplicateToken`] for a character that comes twice.
    pub fn from_chars(chars: impl IntoIterator<Item = char>) -> Result<CharTokenizer> {
        let mut vocab = Vocab::new([Self::UNKNOWN])?;
        for c in chars {
            vocab.push(c.encode_utf8(&mut [0; 4]))?;
        }
        Ok(CharTokenizer { vocab })
    }

    /// Reads a file that [`CharTokenizer::save`] wrote.
    ///
    /// # Errors
    /// [`TextError::Read`] if it cannot be read; [`TextError::InFile`] with the reason if it is not
    /// such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<CharTokenizer> {
        Ok(file::read(path.as_ref(), hf::MAX_FILE_BYTES, CharTokenizer::from_json)?)
    }

    /// Reads what [`CharTokenizer::to_json`] wrote.
    ///
    /// # Errors
    /// [`TextError::Format`] or [`TextError::Unsupported`] if it is something else.
    pub fn from_json(json: &[u8]) -> Result<CharTokenizer, TextError> {
        hf::chars_from_file(hf::File::parse(json)?)
    }

    /// Writes the tokenizer as a Hugging Face `tokenizer.json`, whole or not at all.
    ///
    /// # Errors
    /// [`TextError::Write`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(file::write(path.as_ref(), &self.to_json())?)
    }

    /// The tokenizer as a Hugging Face `tokenizer.json`.
    pub fn to_json(&self) -> Vec<u8> {
        hf::chars_to_file(self).to_json()
    }

    pub(super) fn from_vocab(vocab: Vocab) -> Result<CharTokenizer, TextError> {
        if vocab.token(0).ok() != Some(Self::UNKNOWN) {
            return Err(TextError::not_json(format!("token 0 should be {}", Self::UNKNOWN)));
        }
        if let Some(long) = vocab.iter().skip(1).find(|token| token.chars().count() != 1) {
            return Err(TextError::not_json(format!(
                "token {} is not one character",
                Shown::from(long)
            )));
        }
        Ok(CharTokenizer { vocab })
    }
}

impl Tokenizer for CharTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let id = |c: char| self.vocab.id(c.encode_utf8(&mut [0; 4])).unwrap_or(0);
        Ok(text.chars().map(id).collect())
    }

    fn append(&self, _before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.vocab.token(id)?.as_bytes());
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        &[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_in_code_point_order_after_unknown() {
        let tokenizer = CharTokenizer::from_corpus("éba\na").unwrap();
        assert_eq!(tokenizer.vocab().iter().collect::<Vec<_>>(), ["<UNK>", "\n", "a", "b", "é"]);
        assert_eq!(tokenizer.special_tokens(), [0]);
    }

    #[test]
    fn the_name_of_the_unknown_token_is_ordinary_text() {
        let tokenizer = CharTokenizer::from_corpus("<UNK>").unwrap();
        let ids = tokenizer.encode("<UNK>").unwrap();
        assert_eq!(ids.len(), 5);
        assert!(!ids.contains(&0));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(CharTokenizer::from_corpus("").is_err());
        assert!(CharTokenizer::from_chars("aba".chars()).is_err());
        let tokenizer = CharTokenizer::from_corpus("ab").unwrap();
        assert!(tokenizer.encode("").unwrap().is_empty());
        let error = tokenizer.decode(&[1, 3]).unwrap_err().to_string();
        assert!(error.starts_with("token id 3 is outside 0..3"), "{error}");
    }

    proptest! {
        #[test]
        fn text_of_the_corpus_round_trips(corpus in ".+") {
            let tokenizer = CharTokenizer::from_corpus(&corpus)?;
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&corpus)?)?, corpus);
            prop_assert_eq!(CharTokenizer::from_json(&tokenizer.to_json())?, tokenizer);
        }
    }
}
