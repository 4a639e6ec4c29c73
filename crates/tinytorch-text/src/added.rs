//! Tokens that are found in a text before anything else looks at it.

use super::{Shown, TextError, Vocab};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// A token that is found in the text as a whole, before anything else looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedToken {
    /// Its id.
    pub id: i64,
    /// Its text.
    pub content: String,
    /// Whether it is found only where it is not part of a longer word; not supported when true.
    #[serde(default)]
    pub single_word: bool,
    /// Whether it takes in the white space before it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether it takes in the white space after it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it is found in the normalized text instead of the text as given.
    #[serde(default)]
    pub normalized: bool,
    /// Whether it has a meaning of its own and is left out of decoded text.
    #[serde(default)]
    pub special: bool,
}

impl AddedToken {
    /// A special token, found exactly as it is written.
    pub fn special(id: i64, content: &str) -> AddedToken {
        AddedToken {
            id,
            content: content.to_owned(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }
}

/// A stretch of text, or a token found in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Token(i64),
}

/// The added tokens of a tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AddedTokens {
    tokens: Vec<AddedToken>,
    special: Vec<i64>,
    in_text: Finder,
    in_normalized: Finder,
}

impl AddedTokens {
    /// Checks the tokens and gives those that `vocab` does not have a place in it.
    pub(super) fn new(
        mut tokens: Vec<AddedToken>,
        vocab: &mut Vocab,
        normalize: impl Fn(&str) -> String,
    ) -> Result<AddedTokens, TextError> {
        tokens.sort_by_key(|token| token.id);
        for token in &tokens {
            if token.single_word {
                let found = format!("{} with single_word", Shown::from(&*token.content));
                return Err(TextError::unsupported("added token", &found, "single_word: false"));
            }
            if token.content.is_empty() {
                return Err(TextError::EmptyToken { id: token.id });
            }
            vocab.insert(&token.content, token.id)?;
        }
        let spelling = |token: &AddedToken| Spelling {
            text: if token.normalized { normalize(&token.content) } else { token.content.clone() },
            id: token.id,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
        };
        let (normalized, raw): (Vec<_>, Vec<_>) = tokens.iter().partition(|token| token.normalized);
        Ok(AddedTokens {
            special: tokens.iter().filter(|token| token.special).map(|token| token.id).collect(),
            in_text: Finder::new(raw.into_iter().map(spelling)),
            in_normalized: Finder::new(normalized.into_iter().map(spelling)),
            tokens,
        })
    }

    /// Cuts a text at its added tokens: first at those that are found in the text as given, then,
    /// in what `normalize` makes of the rest, at the others. Pieces come in order, none empty.
    pub(super) fn split<'a>(
        &self,
        text: &'a str,
        normalize: impl Fn(&'a str) -> Cow<'a, str>,
        mut take: impl FnMut(Piece<'_>),
    ) {
        for piece in self.in_text.split(text) {
            match piece {
                Piece::Token(_) => take(piece),
                Piece::Text(text) => {
                    self.in_normalized.split(&normalize(text)).into_iter().for_each(&mut take);
                }
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[AddedToken] {
        &self.tokens
    }

    /// The ids of the special ones, ascending.
    pub(super) fn special(&self) -> &[i64] {
        &self.special
    }

    pub(super) fn is_special(&self, id: i64) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.tokens.binary_search_by_key(&id, |token| token.id).is_ok()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Spelling {
    text: String,
    id: i64,
    lstrip: bool,
    rstrip: bool,
}

/// Finds added tokens in text: the leftmost first, the longest of those that start there.
#[derive(Clone, Debug, PartialEq)]
struct Finder {
    by_first_byte: BTreeMap<u8, Vec<Spelling>>,
}

impl Finder {
    fn new(spellings: impl Iterator<Item = Spelling>) -> Finder {
        let mut by_first_byte: BTreeMap<u8, Vec<Spelling>> = BTreeMap::new();
        for spelling in spellings {
            // Normalizing may leave nothing of a token, which then is never found.
            if let Some(&first) = spelling.text.as_bytes().first() {
                by_first_byte.entry(first).or_default().push(spelling);
            }
        }
        for spellings in by_first_byte.values_mut() {
            spellings.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        }
        Finder { by_first_byte }
    }

    /// The text in pieces, in order, none of them empty.
    fn split<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let (mut start, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let mut here = self.by_first_byte.get(&rest[0]).into_iter().flatten();
            let Some(found) = here.find(|s| rest.starts_with(s.text.as_bytes())) else {
                at += 1;
                continue;
            };
            let before = &text[start..at];
            let before = if found.lstrip { before.trim_end() } else { before };
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            pieces.push(Piece::Token(found.id));
            at += found.text.len();
            if found.rstrip {
                at = text.len() - text[at..].trim_start().len();
            }
            start = at;
        }
        if start < text.len() {
            pieces.push(Piece::Text(&text[start..]));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(tokens: &[(&str, bool, bool)]) -> Finder {
        let token = |(id, &(content, lstrip, rstrip)): (usize, &(&str, bool, bool))| AddedToken {
            lstrip,
            rstrip,
            ..AddedToken::special(id as i64, content)
        };
        let tokens = tokens.iter().enumerate().map(token).collect();
        AddedTokens::new(tokens, &mut Vocab::default(), str::to_owned).unwrap().in_text
    }

    #[test]
    fn the_longest_token_at_the_leftmost_place_is_found() {
        let pieces = finder(&[("<a>", false, false), ("<a><b>", false, false)]);
        assert_eq!(
            pieces.split("é<a><b><a>x"),
            [Piece::Text("é"), Piece::Token(1), Piece::Token(0), Piece::Text("x")]
        );
        assert_eq!(pieces.split("<a"), [Piece::Text("<a")]);
        assert_eq!(pieces.split(""), []);
    }

    #[test]
    fn white_space_goes_with_tokens_that_take_it() {
        let pieces = finder(&[("<m>", true, false), ("<n>", false, true)]);
        assert_eq!(
            pieces.split("a  <m> b"),
            [Piece::Text("a"), Piece::Token(0), Piece::Text(" b")]
        );
        assert_eq!(
            pieces.split("a <n> \n b"),
            [Piece::Text("a "), Piece::Token(1), Piece::Text("b")]
        );
        assert_eq!(pieces.split(" <m>"), [Piece::Token(0)]);
    }
}
