//! What can go wrong with text.

use std::{fmt, io, path::PathBuf};

/// What can go wrong with text, tokens and tokenizer files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A token id that the vocabulary does not have.
    #[error(
        "token id {id} is outside 0..{vocab_size}; check that the ids come from this tokenizer"
    )]
    Id {
        /// The id given.
        id: i64,
        /// Number of tokens in the vocabulary.
        vocab_size: usize,
    },
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file could not be written; one that was there before is unchanged.
    #[error("cannot write {}: {source}; a file already there is unchanged", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// What is wrong with the content of a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<TextError>,
    },
    /// Bytes that are not the kind of tokenizer file they should be.
    #[error("this is not a {format}: {reason}; check the path, or fetch the file again")]
    Format {
        /// The format expected.
        format: &'static str,
        /// The first thing that does not fit.
        reason: String,
    },
    /// A part of a tokenizer file that this reader does not implement.
    #[error("the tokenizer's {part} is {found}, which is not supported; supported: {supported}")]
    Unsupported {
        /// The part: `model`, `normalizer`, `pre_tokenizer`, `post_processor`, `decoder`, ...
        part: &'static str,
        /// What the file asks for.
        found: String,
        /// What it may ask for.
        supported: &'static str,
    },
    /// Bytes that should be text and are not.
    #[error("{what} is not UTF-8 from byte {offset} on; convert it to UTF-8 first")]
    NotUtf8 {
        /// Where the bytes come from.
        what: String,
        /// Number of bytes that are valid.
        offset: usize,
    },
    /// A text for which the vocabulary has no tokens.
    #[error("the tokenizer cannot encode the text: {reason}; use the tokenizer of the model")]
    Encode {
        /// What it says.
        reason: String,
    },
    /// One token under two ids.
    #[error("token {token} has two ids, {first} and {second}; a token must have one")]
    DuplicateToken {
        /// The token.
        token: Shown,
        /// Its first id.
        first: i64,
        /// Its second id.
        second: i64,
    },
    /// One id for two tokens.
    #[error("id {id} belongs to two tokens, {first} and {second}; an id must name one token")]
    DuplicateId {
        /// The id.
        id: i64,
        /// The first token.
        first: Shown,
        /// The second token.
        second: Shown,
    },
    /// The ids are not 0, 1, 2, ... without a gap.
    #[error("id {id} of token {token} does not continue ids 0..{len}; ids must have no gap")]
    IdGap {
        /// The id.
        id: i64,
        /// Its token.
        token: Shown,
        /// Number of tokens with the ids before it.
        len: usize,
    },
    /// A token that stands for nothing, and so would be found everywhere.
    #[error("added token {id} is empty; give it a text")]
    EmptyToken {
        /// Its id.
        id: i64,
    },
    /// A merge whose parts or result are not in the vocabulary.
    #[error("merge {rank} joins {left} and {right}, but {missing} is not in the vocabulary")]
    Merge {
        /// Position in the list of merges.
        rank: usize,
        /// Left part.
        left: Shown,
        /// Right part.
        right: Shown,
        /// The token that is missing.
        missing: Shown,
    },
    /// More than is read or built at once.
    #[error("{what} takes {size}, and at most {limit} is accepted; split it or check the file")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// A vocabulary asked of no text.
    #[error("there is no text to build a vocabulary from; pass a corpus that is not empty")]
    EmptyCorpus,
    /// A vocabulary that cannot hold its fixed tokens.
    #[error(
        "a vocabulary of {asked} tokens cannot hold the {least} that are always there (256 bytes and the special tokens); ask for at least {least}"
    )]
    VocabSize {
        /// Size asked for.
        asked: usize,
        /// Smallest possible.
        least: usize,
    },
    /// A batch without inputs.
    #[error("a batch needs at least one text; got none")]
    EmptyBatch,
    /// Inputs of different lengths, and nothing to fill them up with.
    #[error("inputs of {shortest} to {longest} tokens do not make a batch; set a padding")]
    Ragged {
        /// Tokens in the shortest.
        shortest: usize,
        /// Tokens in the longest.
        longest: usize,
    },
    /// A length that leaves no room for what must stay.
    #[error(
        "cannot truncate to {max_length} tokens: {reason}; raise `max_length` or choose another strategy"
    )]
    Truncation {
        /// The length asked for.
        max_length: usize,
        /// What does not fit.
        reason: String,
    },
}

impl tinytorch_core::CustomError for TextError {}

impl TextError {
    /// A `tokenizer.json` with this wrong in it.
    pub(crate) fn not_json(reason: String) -> TextError {
        TextError::Format { format: "Hugging Face tokenizer.json", reason: cut(&reason, 200) }
    }

    pub(super) fn unsupported(
        part: &'static str,
        found: &str,
        supported: &'static str,
    ) -> TextError {
        TextError::Unsupported { part, found: cut(found, 60), supported }
    }
}

/// A token in a message: quoted, escaped, and cut after 40 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl From<&str> for Shown {
    fn from(token: &str) -> Shown {
        Shown(cut(token, 40))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The beginning of a text from a file, which may be a megabyte long, for a message.
pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tokens_are_cut_and_odd_ones_escaped() {
        assert_eq!(Shown::from("a\n\"b").to_string(), r#""a\n\"b""#);
        let long = Shown::from(&*"é".repeat(1000)).to_string();
        assert_eq!(long, format!("\"{}...\"", "é".repeat(40)));
    }
}
