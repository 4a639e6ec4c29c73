//! How SentencePiece changes a text before it is cut: a map of characters, blanks, and a blank before all.

use super::prefixes::Prefixes;
use super::proto::FORMAT;
use crate::TextError;

/// What stands for a blank in pieces.
pub(super) const BLANK: &str = "\u{2581}";

/// A map from characters to strings, as a double array (Aoe, 1989) before the strings that it points to.
#[derive(Clone, Debug, Default)]
struct CharsMap {
    units: Vec<u32>,
    strings: Vec<u8>,
}

impl CharsMap {
    fn parse(bytes: &[u8]) -> Result<CharsMap, TextError> {
        if bytes.is_empty() {
            return Ok(CharsMap::default());
        }
        let broken = || {
            let reason = "its map of characters is cut short".to_owned();
            TextError::Format { format: FORMAT, reason }
        };
        let (size, rest) = bytes.split_first_chunk().ok_or_else(broken)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (units, strings) = rest.split_at_checked(size).ok_or_else(broken)?;
        let (units, []) = units.as_chunks() else { return Err(broken()) };
        let units = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(CharsMap { units, strings: strings.to_vec() })
    }

    /// The longest beginning of `text` that is mapped: its length, and what it becomes.
    fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let offset = |unit: u32| ((unit >> 10) << ((unit & 0x200) >> 6)) as usize;
        let mut at = offset(*self.units.first()?);
        let mut found = None;
        for (i, &byte) in text.iter().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at) else { break };
            if unit & 0x8000_00ff != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if unit & 0x100 != 0 {
                let Some(&leaf) = self.units.get(at) else { break };
                found = Some((i + 1, (leaf & 0x7fff_ffff) as usize));
            }
        }
        let (length, start) = found?;
        let string = self.strings.get(start..)?;
        let end = string.iter().position(|&byte| byte == 0).unwrap_or(string.len());
        // A damaged map may cut a character of the text or hold none in a string.
        Some((length, str::from_utf8(&string[..end]).ok()?))
    }
}

/// What happens to a text.
#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    map: CharsMap,
    /// Strings that no rule changes.
    kept: Prefixes,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

impl Normalizer {
    pub(super) fn new(
        charsmap: &[u8],
        kept: Prefixes,
        add_dummy_prefix: bool,
        remove_extra_whitespaces: bool,
    ) -> Result<Normalizer, TextError> {
        let map = CharsMap::parse(charsmap)?;
        Ok(Normalizer { map, kept, add_dummy_prefix, remove_extra_whitespaces })
    }

    /// Whether a text that is put together again has a blank before it that was not its own.
    pub(super) fn begins_with_a_blank(&self) -> bool {
        self.add_dummy_prefix || self.remove_extra_whitespaces
    }

    /// Whether a text has no blanks before its first word.
    pub(super) fn removes_blanks(&self) -> bool {
        self.remove_extra_whitespaces
    }

    /// The length of the strings that no rule changes and that `text` begins with, of the longest.
    pub(super) fn kept(&self, text: &str) -> Option<usize> {
        self.kept.longest(text.as_bytes())
    }

    /// The next part of a text: its length, and what it becomes.
    fn next<'t>(&'t self, text: &'t str) -> (usize, &'t str) {
        if let Some(length) = self.kept(text) {
            return (length, &text[..length]);
        }
        match self.map.longest(text.as_bytes()) {
            Some((length, mapped)) if text.is_char_boundary(length) => (length, mapped),
            _ => {
                let length = text.chars().next().map_or(0, char::len_utf8);
                (length, &text[..length])
            }
        }
    }

    /// The text as it is cut, blanks written as [`BLANK`].
    pub(super) fn normalize(&self, text: &str) -> String {
        let removes = self.remove_extra_whitespaces;
        let mut rest = text;
        while removes && !rest.is_empty() {
            let (length, mapped) = self.next(rest);
            if mapped != " " {
                break;
            }
            rest = &rest[length..];
        }
        let mut normalized = String::with_capacity(rest.len() + 2 * BLANK.len());
        if rest.is_empty() {
            return normalized;
        }
        if self.add_dummy_prefix {
            normalized.push_str(BLANK);
        }
        let mut is_after_blank = removes;
        while !rest.is_empty() {
            let (length, mapped) = self.next(rest);
            let mapped = if is_after_blank { mapped.trim_start_matches(' ') } else { mapped };
            for c in mapped.chars() {
                match c {
                    ' ' => normalized.push_str(BLANK),
                    other => normalized.push(other),
                }
            }
            if !mapped.is_empty() {
                is_after_blank = removes && mapped.ends_with(' ');
            }
            rest = &rest[length..];
        }
        if removes {
            normalized.truncate(normalized.trim_end_matches(BLANK).len());
        }
        normalized
    }
}
