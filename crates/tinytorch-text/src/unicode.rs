//! Classes of characters.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// General category L: letters. (`char::is_alphabetic` also takes marks and letter numbers.)
pub(super) fn is_letter(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphabetic(),
        false => c.general_category_group() == GeneralCategoryGroup::Letter,
    }
}

/// General category P, and every ASCII character that is neither letter, digit, space nor control:
/// BERT counts `$`, `+`, `^` and the like as punctuation, Unicode as symbols.
pub(super) fn is_punctuation(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_punctuation(),
        false => c.general_category_group() == GeneralCategoryGroup::Punctuation,
    }
}

/// General category Mn: accents and other marks that take no room of their own.
pub(super) fn is_nonspacing_mark(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::NonspacingMark
}

/// General categories Cc, Cf and Co: controls, format characters and private use, which no text is
/// meant to show. Unassigned characters stay: a later Unicode may have given them a meaning.
pub(super) fn is_invisible(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    match c.is_ascii() {
        true => c.is_ascii_control(),
        false => matches!(c.general_category(), Control | Format | PrivateUse),
    }
}
