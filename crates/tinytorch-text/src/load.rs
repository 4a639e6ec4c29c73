//! A tokenizer of whatever kind a file holds.

use super::{
    HfTokenizer, Llama2cTokenizer, SentencePieceTokenizer, TextError, Tokenizer, file, hf,
};
use std::path::Path;
use tinytorch_core::Result;

/// Reads a tokenizer of any kind: a `tokenizer.json`, a `tokenizer.model` of SentencePiece, or a
/// `tokenizer.bin` of llama2.c. The content says which it is.
///
/// ```
/// use tinytorch_text::{BpeTokenizer, Tokenizer, load_tokenizer};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("tokenizer.json");
/// BpeTokenizer::bytes().save(&path)?;
/// assert_eq!(load_tokenizer(&path)?.vocab_size(), 256);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
///
/// # Errors
/// [`TextError::Read`](super::TextError::Read) if it cannot be read,
/// [`TextError::InFile`](super::TextError::InFile) with the reason if it is no such file.
pub fn load_tokenizer(path: impl AsRef<Path>) -> Result<Box<dyn Tokenizer>> {
    let path = path.as_ref();
    let is_named_json = path.extension().is_some_and(|extension| extension == "json");
    let read =
        file::read(path, hf::MAX_FILE_BYTES, |bytes| -> Result<Box<dyn Tokenizer>, TextError> {
            // A list of pieces, the first of which holds a string: what protocol buffers make of a vocabulary.
            if let [0x0a, _, 0x0a, ..] = bytes {
                return Ok(Box::new(SentencePieceTokenizer::from_bytes(bytes)?));
            }
            let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            Ok(match is_named_json || begins == Some(&b'{') {
                true => Box::new(HfTokenizer::from_json(bytes)?),
                false => Box::new(Llama2cTokenizer::from_bytes(bytes)?),
            })
        });
    Ok(read?)
}
