//! Texts that begin with a token of their own.

use super::{Tokenizer, Vocab};
use tinytorch_core::Result;

/// When a text gets the token that begins texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Every text, if it has none yet.
    Always,
    /// No text, even if the tokenizer itself would add one.
    Never,
    /// Only one that would have no tokens at all.
    Empty,
}

/// A tokenizer whose texts begin with one token, as a model's settings ask for.
///
/// ```
/// use tinytorch_text::{Begin, BegunTokenizer, CharTokenizer, Tokenizer};
/// let letters = Box::new(CharTokenizer::from_corpus("<abc")?);
/// let tokenizer = BegunTokenizer::new(letters, 1, Begin::Always)?;
/// assert_eq!(tokenizer.encode("cab")?, [1, 4, 2, 3]);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Debug)]
pub struct BegunTokenizer {
    inner: Box<dyn Tokenizer>,
    token: i64,
    begin: Begin,
}

impl BegunTokenizer {
    /// A tokenizer whose texts begin with `token` when `begin` says so.
    ///
    /// # Errors
    /// [`TextError::Id`](super::TextError::Id) for a token outside the vocabulary.
    pub fn new(inner: Box<dyn Tokenizer>, token: i64, begin: Begin) -> Result<BegunTokenizer> {
        inner.token(token)?;
        Ok(BegunTokenizer { inner, token, begin })
    }
}

impl Tokenizer for BegunTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let mut ids = self.inner.encode(text)?;
        let has = ids.first() == Some(&self.token);
        match self.begin {
            Begin::Always if !has => ids.insert(0, self.token),
            Begin::Empty if ids.is_empty() => ids.push(self.token),
            // A token that the text itself spells stays: the tokenizer adds one only if it does so to
            // the empty text.
            Begin::Never if has && self.inner.encode("")?.first() == Some(&self.token) => {
                ids.remove(0);
            }
            _ => {}
        }
        Ok(ids)
    }

    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        self.inner.append(before, id, out)
    }

    fn vocab(&self) -> &Vocab {
        self.inner.vocab()
    }

    fn special_tokens(&self) -> &[i64] {
        self.inner.special_tokens()
    }

    fn end_tokens(&self) -> Vec<i64> {
        self.inner.end_tokens()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CharTokenizer;

    fn ids(inner: Box<dyn Tokenizer>, begin: Begin, texts: [&str; 2]) -> [Vec<i64>; 2] {
        let tokenizer = BegunTokenizer::new(inner, 1, begin).unwrap();
        texts.map(|text| tokenizer.encode(text).unwrap())
    }

    #[test]
    fn the_token_comes_when_it_is_asked_for_and_once() {
        let plain = || Box::new(CharTokenizer::from_corpus("<ab").unwrap());
        let begun = || Box::new(BegunTokenizer::new(plain(), 1, Begin::Always).unwrap());
        assert_eq!(ids(plain(), Begin::Always, ["", "<a"]), [vec![1], vec![1, 2]]);
        assert_eq!(ids(begun(), Begin::Always, ["b", "<a"]), [vec![1, 3], vec![1, 2]]);
        assert_eq!(ids(plain(), Begin::Empty, ["", "a"]), [vec![1], vec![2]]);
        assert_eq!(ids(begun(), Begin::Never, ["", "b"]), [vec![], vec![3]]);
        assert_eq!(ids(plain(), Begin::Never, ["", "<b"]), [vec![], vec![1, 3]]);
        assert!(BegunTokenizer::new(plain(), 99, Begin::Always).is_err());
    }
}
