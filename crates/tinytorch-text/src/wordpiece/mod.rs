//! BERT's tokens: words of a normalized text, cut into the longest known pieces.

mod normalize;

pub(super) use normalize::BertNormalizer;

use super::added::{AddedTokens, Piece};
use super::{AddedToken, Shown, TextError, Tokenizer, Vocab};
use std::borrow::Cow;
use tinytorch_core::Result;

/// WordPiece as BERT has it (Wu et al., 2016; Devlin et al., 2019).
///
/// Text is normalized (lowered and stripped of accents, for the uncased models), cut at white
/// space and punctuation, and each word becomes the longest piece it begins with, then the longest
/// `##piece` that continues it, and so on; a word that cannot be cut this way is one unknown token.
/// So decoding gives readable text, not the text as it was.
///
/// Ids are those of Hugging Face's tokenizer but for 693 rare accents, format characters and
/// punctuation marks: its table of them is that of Unicode 8, the one here is current.
///
/// It comes from a `tokenizer.json`; see [`HfTokenizer`](super::HfTokenizer).
#[derive(Clone, Debug, PartialEq)]
pub struct WordPieceTokenizer {
    vocab: Vocab,
    added: AddedTokens,
    normalizer: BertNormalizer,
    rules: WordPieceRules,
    unknown: i64,
    /// Tokens of the vocabulary proper; those after it are added tokens.
    pieces: i64,
    /// Bytes of the longest piece.
    longest: usize,
}

/// How words are cut and put together again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WordPieceRules {
    /// The token of a word that cannot be cut.
    pub(super) unknown: String,
    /// What a piece begins with that continues a word.
    pub(super) prefix: String,
    /// Words of more characters are unknown.
    pub(super) max_chars: usize,
    /// Whether decoding leaves out the blank before punctuation.
    pub(super) tidy: bool,
}

impl WordPieceTokenizer {
    pub(super) fn new(
        mut vocab: Vocab,
        added: Vec<AddedToken>,
        normalizer: BertNormalizer,
        rules: WordPieceRules,
    ) -> Result<WordPieceTokenizer, TextError> {
        let pieces = vocab.len() as i64;
        let longest = vocab.iter().map(str::len).max().unwrap_or(0);
        let added = AddedTokens::new(added, &mut vocab, |text| normalizer.apply(text))?;
        let unknown = vocab.id(&rules.unknown).ok_or_else(|| {
            TextError::not_json(format!(
                "the vocabulary has no token {} for unknown words",
                Shown::from(&*rules.unknown)
            ))
        })?;
        Ok(WordPieceTokenizer { vocab, added, normalizer, rules, unknown, pieces, longest })
    }

    fn push_word(&self, word: &str, ids: &mut Vec<i64>) {
        let start = ids.len();
        let mut rest = word;
        let is_short = word.chars().nth(self.rules.max_chars).is_none();
        while !rest.is_empty()
            && is_short
            && let Some((id, len)) = self.longest_piece(rest, rest.len() == word.len())
        {
            ids.push(id);
            rest = &rest[len..];
        }
        if !rest.is_empty() {
            ids.truncate(start);
            ids.push(self.unknown);
        }
    }

    /// The longest piece that `text` begins with, and its length in bytes.
    fn longest_piece(&self, text: &str, begins_word: bool) -> Option<(i64, usize)> {
        let prefix = if begins_word { "" } else { &self.rules.prefix };
        let room = self.longest.saturating_sub(prefix.len());
        let mut piece = [prefix, &text[..text.floor_char_boundary(room)]].concat();
        while piece.len() > prefix.len() {
            // Tokens that only the file's list of added tokens has are not found within words.
            if let Some(id) = self.vocab.id(&piece).filter(|&id| id < self.pieces) {
                return Some((id, piece.len() - prefix.len()));
            }
            piece.pop();
        }
        None
    }
}

impl Tokenizer for WordPieceTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        let normalize = |text| Cow::Owned(self.normalizer.apply(text));
        self.added.split(text, normalize, |piece| match piece {
            Piece::Token(id) => ids.push(id),
            Piece::Text(text) => {
                normalize::words(text).for_each(|word| self.push_word(word, &mut ids));
            }
        });
        Ok(ids)
    }

    /// Appends the piece, after a blank where it begins a word; special tokens add nothing.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        const CLINGING: [&str; 9] = [".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"];
        let token = self.vocab.token(id)?;
        if self.added.is_special(id) {
            return Ok(());
        }
        let is_first = before.iter().all(|&id| self.added.is_special(id));
        let piece = token.strip_prefix(&self.rules.prefix).filter(|_| !is_first);
        let clings = self.rules.tidy && CLINGING.iter().any(|begin| token.starts_with(begin));
        if !is_first && piece.is_none() && !clings {
            out.push(b' ');
        }
        out.extend_from_slice(piece.unwrap_or(token).as_bytes());
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        self.added.special()
    }
}
