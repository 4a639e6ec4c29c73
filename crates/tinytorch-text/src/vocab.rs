//! Tokens and their ids.

use super::{Shown, TextError};
use std::{collections::HashMap, fmt, sync::Arc};

/// Tokens and their ids, which are 0, 1, 2, ... without a gap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Vocab {
    tokens: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

/// Shows the number of tokens: there may be a hundred thousand.
impl fmt::Debug for Vocab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocab({} tokens)", self.len())
    }
}

impl Vocab {
    /// The tokens in the order of their ids.
    ///
    /// # Errors
    /// [`TextError::DuplicateToken`] for a token that comes twice.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<Vocab, TextError> {
        let mut vocab = Vocab::default();
        for token in tokens {
            vocab.push(token)?;
        }
        Ok(vocab)
    }

    /// The tokens with their ids, in any order.
    ///
    /// # Errors
    /// [`TextError::DuplicateToken`], [`TextError::DuplicateId`] or [`TextError::IdGap`] if tokens
    /// and ids are not one to one, or the ids leave one out.
    pub fn from_entries(mut entries: Vec<(String, i64)>) -> Result<Vocab, TextError> {
        entries.sort_by_key(|&(_, id)| id);
        let mut vocab = Vocab::default();
        for (token, id) in &entries {
            vocab.insert(token, *id)?;
        }
        Ok(vocab)
    }

    /// Adds a token under the next id, or leaves the vocabulary as it is if it has the token under
    /// this id.
    pub(super) fn insert(&mut self, token: &str, id: i64) -> Result<u32, TextError> {
        let len = self.tokens.len();
        match usize::try_from(id) {
            Ok(index) if index == len => self.push(token),
            Ok(index) if index < len && *self.tokens[index] == *token => Ok(index as u32),
            Ok(index) if index < len => Err(TextError::DuplicateId {
                id,
                first: Shown::from(&*self.tokens[index]),
                second: token.into(),
            }),
            _ => Err(TextError::IdGap { id, token: token.into(), len }),
        }
    }

    /// Adds a token under the next id.
    pub(super) fn push(&mut self, token: &str) -> Result<u32, TextError> {
        let next = self.tokens.len();
        let id = u32::try_from(next).map_err(|_| TextError::TooLarge {
            what: "a vocabulary (in tokens)",
            size: next as u64 + 1,
            limit: u64::from(u32::MAX),
        })?;
        if let Some(&first) = self.ids.get(token) {
            let (first, second) = (i64::from(first), i64::from(id));
            return Err(TextError::DuplicateToken { token: token.into(), first, second });
        }
        let token: Arc<str> = token.into();
        self.tokens.push(token.clone());
        self.ids.insert(token, id);
        Ok(id)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The token with this id.
    ///
    /// # Errors
    /// [`TextError::Id`] for an id outside the vocabulary.
    pub fn token(&self, id: i64) -> Result<&str, TextError> {
        let index = usize::try_from(id).ok();
        let token = index.and_then(|index| self.tokens.get(index));
        token.map(|token| &**token).ok_or(TextError::Id { id, vocab_size: self.len() })
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<i64> {
        self.index(token).map(i64::from)
    }

    pub(super) fn index(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token with an id that this vocabulary gave out.
    pub(super) fn at(&self, index: u32) -> &str {
        &self.tokens[index as usize]
    }

    /// The tokens in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tokens.iter().map(|token| &**token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, i64)]) -> Result<Vocab, TextError> {
        Vocab::from_entries(list.iter().map(|&(t, id)| (t.to_owned(), id)).collect())
    }

    #[test]
    fn order_of_entries_does_not_matter() {
        let vocab = entries(&[("c", 2), ("a", 0), ("b", 1)]).unwrap();
        assert_eq!(vocab, Vocab::new(["a", "b", "c"]).unwrap());
        assert_eq!(vocab.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn conflicts_are_named() {
        let message = |list: &[(&str, i64)]| entries(list).unwrap_err().to_string();
        assert!(message(&[("a", 0), ("a", 1)]).contains(r#""a" has two ids, 0 and 1"#));
        assert!(message(&[("a", 0), ("b", 0)]).contains(r#"two tokens, "a" and "b""#));
        assert!(message(&[("a", 0), ("b", 2)]).contains("does not continue ids 0..1"));
        assert!(message(&[("a", -1)]).contains("id -1"));
        assert!(message(&[("a", i64::MAX)]).contains("does not continue ids 0..0"));
    }

    #[test]
    fn ids_outside_are_errors() {
        let vocab = Vocab::new(["a"]).unwrap();
        assert_eq!(vocab.token(0).unwrap(), "a");
        for id in [1, -1, i64::MIN, i64::MAX] {
            assert!(matches!(vocab.token(id), Err(TextError::Id { vocab_size: 1, .. })));
        }
    }
}
