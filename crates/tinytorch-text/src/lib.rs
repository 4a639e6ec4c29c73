//! Text to token ids and back.
//!
//! A [`Tokenizer`] gives the ids a model takes and turns ids into text again.
//!
//! | tokenizer | tokens | from |
//! |---|---|---|
//! | [`CharTokenizer`] | characters | the characters of a corpus |
//! | [`BpeTokenizer`] | byte strings learned from text | [`BpeTrainer`], or `tokenizer.json` |
//! | [`WordPieceTokenizer`] | BERT's word pieces | `tokenizer.json` |
//! | [`HfTokenizer`] | any of these, with a model's special tokens, truncation and padding | `tokenizer.json` |
//! | [`Llama2cTokenizer`] | SentencePiece's pieces with their scores | llama2.c's `tokenizer.bin` |
//! | [`SentencePieceTokenizer`] | SentencePiece's pieces, unigrams or byte pairs | its own `tokenizer.model` |
//!
//! ```
//! use tinytorch_text::{BpeTokenizer, Tokenizer};
//! let tokenizer = BpeTokenizer::train("she sells sea shells by the sea shore", 270)?;
//! let ids = tokenizer.encode("sea shells, 貝")?;
//! assert_eq!(tokenizer.decode(&ids)?, "sea shells, 貝");
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod added;
mod begun;
mod bpe;
mod character;
mod error;
mod file;
mod hf;
mod llama2c;
mod load;
mod merge;
mod sentencepiece;
mod stream;
mod tokenizer;
mod unicode;
mod vocab;
mod wordpiece;

pub use added::AddedToken;
pub use begun::{Begin, BegunTokenizer};
pub use bpe::{BpeTokenizer, BpeTrainer};
pub use character::CharTokenizer;
pub use error::{Shown, TextError};
pub use hf::{
    Batch, Direction, Encoding, HfTokenizer, Input, Padding, PaddingStrategy, Truncation,
    TruncationStrategy,
};
pub use llama2c::Llama2cTokenizer;
pub use load::load_tokenizer;
pub use sentencepiece::SentencePieceTokenizer;
pub use stream::TextStream;
pub use tokenizer::{Tokenizer, utf8};
pub use vocab::Vocab;
pub use wordpiece::WordPieceTokenizer;

/// Bytes of the longest text that is encoded in one go: positions are counted in 32 bits.
const MAX_TEXT_BYTES: usize = 1 << 31;

fn check_length(text: &str) -> Result<(), TextError> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let (size, limit) = (text.len() as u64, MAX_TEXT_BYTES as u64);
    Err(TextError::TooLarge { what: "a text to encode (in bytes)", size, limit })
}
