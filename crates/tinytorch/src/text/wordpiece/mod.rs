//! BERT's tokens: words of a normalized text, cut into the longest known pieces.

mod normalize;

pub(super) use normalize::BertNormalizer;

use super::added::{AddedTokens, Finder, Piece};
use super::{AddedToken, TextError, Tokenizer, Vocab, hf};
use crate::Result;

/// WordPiece as BERT has it (Wu et al., 2016; Devlin et al., 2019).
///
/// Text is normalized (lowered and stripped of accents, for the uncased models), cut at white
/// space and punctuation, and each word becomes the longest piece it begins with, then the longest
/// `##piece` that continues it, and so on; a word that cannot be cut this way is one unknown token.
/// So decoding gives readable text, not the text as it was.
///
/// It comes from a `tokenizer.json`; see [`HfTokenizer`](super::HfTokenizer).
#[derive(Clone, Debug, PartialEq)]
pub struct WordPieceTokenizer {
    vocab: Vocab,
    added: AddedTokens,
    in_text: Finder,
    in_normalized: Finder,
    normalizer: BertNormalizer,
    rules: WordPieceRules,
    unknown: i64,
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
        let added = AddedTokens::new(added, &mut vocab)?;
        let unknown = vocab.id(&rules.unknown).ok_or_else(|| {
            hf::not_json(format!(
                "the vocabulary has no token {:.40?} for unknown words",
                rules.unknown
            ))
        })?;
        Ok(WordPieceTokenizer {
            in_text: added.finder(|token| (!token.normalized).then(|| token.content.clone())),
            in_normalized: added
                .finder(|token| token.normalized.then(|| normalizer.apply(&token.content))),
            longest: vocab.iter().map(str::len).max().unwrap_or(0),
            vocab,
            added,
            normalizer,
            rules,
            unknown,
        })
    }

    fn push_word(&self, word: &str, ids: &mut Vec<i64>) {
        let start = ids.len();
        let mut rest = word;
        let mut candidate = String::new();
        let too_long = word.chars().nth(self.rules.max_chars).is_some();
        while !rest.is_empty() && !too_long {
            candidate.clear();
            if rest.len() < word.len() {
                candidate.push_str(&self.rules.prefix);
            }
            let lead = candidate.len();
            let room = self.longest.saturating_sub(lead);
            candidate.push_str(&rest[..rest.floor_char_boundary(room)]);
            while candidate.len() > lead && self.vocab.id(&candidate).is_none() {
                candidate.pop();
            }
            match self.vocab.id(&candidate) {
                Some(id) if candidate.len() > lead => ids.push(id),
                _ => break,
            }
            rest = &rest[candidate.len() - lead..];
        }
        if !rest.is_empty() {
            ids.truncate(start);
            ids.push(self.unknown);
        }
    }
}

impl Tokenizer for WordPieceTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        for piece in self.in_text.split(text) {
            let text = match piece {
                Piece::Text(text) => self.normalizer.apply(text),
                Piece::Token(id) => {
                    ids.push(id);
                    continue;
                }
            };
            for piece in self.in_normalized.split(&text) {
                match piece {
                    Piece::Token(id) => ids.push(id),
                    Piece::Text(text) => {
                        normalize::words(text).for_each(|word| self.push_word(word, &mut ids));
                    }
                }
            }
        }
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
