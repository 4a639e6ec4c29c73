//! The words that byte-level BPE merges within.

use crate::unicode::is_letter;

/// Splits text into the words that byte-level BPE merges within; joined, they are the text.
///
/// The rule is GPT-2's, whose published form is the regular expression
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: a word carries the
/// space before it, letters, digits and signs do not mix, and of several spaces the last belongs
/// to the word that follows.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, tail) = rest.split_at(first_word(rest));
        rest = tail;
        (!word.is_empty()).then_some(word)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Letter,
    Number,
    Space,
    Sign,
}

fn class(c: char) -> Class {
    match c {
        c if is_letter(c) => Class::Letter,
        c if c.is_numeric() => Class::Number,
        c if c.is_whitespace() => Class::Space,
        _ => Class::Sign,
    }
}

/// Bytes of the first word.
fn first_word(text: &str) -> usize {
    const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    if let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending)) {
        return ending.len();
    }
    let after_space = text.strip_prefix(' ').unwrap_or(text);
    match after_space.chars().next().map(class) {
        Some(kind) if kind != Class::Space => {
            text.len() - after_space.len() + run(after_space, kind)
        }
        _ => spaces(text),
    }
}

/// Bytes of the characters of one class that the text starts with.
fn run(text: &str, kind: Class) -> usize {
    text.find(|c| class(c) != kind).unwrap_or(text.len())
}

/// Bytes of the spaces that the text starts with, without the last one if a word follows it.
fn spaces(text: &str) -> usize {
    let end = run(text, Class::Space);
    let last = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    if end == text.len() || last == 0 { end } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn words_carry_the_space_before_them() {
        assert_eq!(split("Hello, big world 42!"), ["Hello", ",", " big", " world", " 42", "!"]);
        assert_eq!(split("it's they'll IT'S"), ["it", "'s", " they", "'ll", " IT", "'", "S"]);
        assert_eq!(split("été 1½ _x"), ["été", " 1½", " _", "x"]);
    }

    #[test]
    fn of_several_spaces_the_last_goes_with_the_word() {
        assert_eq!(split("a   b"), ["a", "  ", " b"]);
        assert_eq!(split("a \n\nb"), ["a", " \n", "\n", "b"]);
        assert_eq!(split("a  "), ["a", "  "]);
        assert_eq!(split("\u{a0}\u{3000}x"), ["\u{a0}", "\u{3000}", "x"]);
        assert_eq!(split(" "), [" "]);
        assert_eq!(split(""), [""; 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in any::<String>()) {
            prop_assert_eq!(words(&text).collect::<String>(), text);
        }
    }
}
