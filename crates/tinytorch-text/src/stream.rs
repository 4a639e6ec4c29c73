//! Text from ids that come one at a time.

use super::Tokenizer;
use tinytorch_core::Result;

/// Decodes ids as they are generated, a token at a time.
///
/// A character is given out when it is complete, never half of it. All that is given out, joined,
/// is what [`Tokenizer::decode`] makes of all ids.
///
/// ```
/// use tinytorch_text::{BpeTokenizer, TextStream, Tokenizer};
/// let tokenizer = BpeTokenizer::bytes();
/// let ids = tokenizer.encode("é!")?;
/// let mut stream = TextStream::new(&tokenizer, &[]);
/// let shown: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect::<Result<_, _>>()?;
/// assert_eq!(shown, ["", "é", "!"]);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a dyn Tokenizer,
    ids: Vec<i64>,
    pending: Vec<u8>,
}

impl<'a> TextStream<'a> {
    /// A stream of the text that follows `prompt`, whose own text is not given out.
    pub fn new(tokenizer: &'a dyn Tokenizer, prompt: &[i64]) -> TextStream<'a> {
        TextStream { tokenizer, ids: prompt.to_vec(), pending: Vec::new() }
    }

    /// Takes the next id and gives the text that is complete with it.
    ///
    /// # Errors
    /// [`TextError::Id`](super::TextError::Id) for an id outside the vocabulary; the stream can go
    /// on without it.
    pub fn push(&mut self, id: i64) -> Result<String> {
        self.tokenizer.append(&self.ids, id, &mut self.pending)?;
        self.ids.push(id);
        let mut text = String::new();
        let mut rest = Vec::new();
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && is_begun(chunk.invalid()) {
                rest.extend_from_slice(chunk.invalid());
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending = rest;
        Ok(text)
    }

    /// Ends the stream: the replacement character, if the last character stayed incomplete.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Whether more bytes could still make these a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BpeTokenizer;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_id_leaves_the_stream_usable() {
        let tokenizer = BpeTokenizer::bytes();
        let ids = tokenizer.encode("é").unwrap();
        let mut stream = TextStream::new(&tokenizer, &[]);
        assert_eq!(stream.push(ids[0]).unwrap(), "");
        assert!(stream.push(-1).is_err());
        assert_eq!(stream.push(ids[1]).unwrap(), "é");
        assert_eq!(stream.finish(), "");
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_decoded_text(ids in prop::collection::vec(0i64..256, 0..40)) {
            let tokenizer = BpeTokenizer::bytes();
            let mut stream = TextStream::new(&tokenizer, &[]);
            let mut text = String::new();
            for &id in &ids {
                text += &stream.push(id)?;
            }
            text += &stream.finish();
            prop_assert_eq!(text, tokenizer.decode(&ids)?);
        }
    }
}
