//! BERT's clean-up of a text.

use crate::unicode::{is_invisible, is_nonspacing_mark, is_punctuation};
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

/// BERT's clean-up of text before it is cut into words.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct BertNormalizer {
    /// Drop control characters, make every white space a blank.
    clean_text: bool,
    /// Set every CJK ideograph between blanks, so that it is a word of its own.
    handle_chinese_chars: bool,
    /// Decompose characters and drop the accents; unless set, done where letters are lowered.
    strip_accents: Option<bool>,
    lowercase: bool,
}

impl BertNormalizer {
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                c if self.clean_text && is_dropped(c) => {}
                c if self.clean_text && c.is_whitespace() => out.push(' '),
                c if self.handle_chinese_chars && is_ideograph(c) => out.extend([' ', c, ' ']),
                c => out.push(c),
            }
        }
        if self.strip_accents.unwrap_or(self.lowercase) && !out.is_ascii() {
            out = out.nfd().filter(|&c| !is_nonspacing_mark(c)).collect();
        }
        match self.lowercase {
            // Character by character: `str::to_lowercase` treats a final sigma differently.
            true => out.chars().flat_map(char::to_lowercase).collect(),
            false => out,
        }
    }
}

fn is_dropped(c: char) -> bool {
    let is_space = matches!(c, '\t' | '\n' | '\r');
    matches!(c, '\0' | char::REPLACEMENT_CHARACTER) || (!is_space && is_invisible(c))
}

/// The blocks that BERT's original tokenizer counts as Chinese.
fn is_ideograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

/// BERT's words: what stands between white space, with each punctuation character a word.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .flat_map(|chunk| chunk.split_inclusive(is_punctuation))
        .flat_map(|word| match word.char_indices().next_back() {
            Some((at, c)) if is_punctuation(c) => [&word[..at], &word[at..]],
            _ => [word, ""],
        })
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNCASED: BertNormalizer = BertNormalizer {
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: None,
        lowercase: true,
    };

    #[test]
    fn uncased_bert_drops_case_accents_and_controls() {
        assert_eq!(UNCASED.apply("Héllo\tWÖRLD\u{200d}\0\u{fffd}!"), "hello world!");
        assert_eq!(UNCASED.apply("ΣΊΣΥΦΟΣ İ"), "σισυφοσ i");
        assert_eq!(UNCASED.apply("a日本b"), "a 日  本 b");
    }

    #[test]
    fn settings_are_independent() {
        let keep = BertNormalizer { lowercase: false, ..UNCASED };
        assert_eq!(keep.apply("Hé\n日"), "Hé  日 ");
        let strip = BertNormalizer { strip_accents: Some(true), ..keep.clone() };
        assert_eq!(strip.apply("Hé"), "He");
        let nothing = BertNormalizer { clean_text: false, handle_chinese_chars: false, ..keep };
        assert_eq!(nothing.apply("Hé\n日"), "Hé\n日");
    }

    #[test]
    fn punctuation_is_cut_off_one_by_one() {
        let words: Vec<_> = words("  it's 5$... (ok)\u{3002} ").collect();
        assert_eq!(words, ["it", "'", "s", "5", "$", ".", ".", ".", "(", "ok", ")", "\u{3002}"]);
    }
}
