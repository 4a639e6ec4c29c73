//! Which strings of a list a text begins with.

/// Strings in the order of their bytes, each with a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    sorted: Vec<(Box<[u8]>, u32)>,
}

impl Prefixes {
    pub(super) fn new<'a>(strings: impl Iterator<Item = (&'a str, u32)>) -> Prefixes {
        let mut sorted: Vec<(Box<[u8]>, u32)> =
            strings.map(|(string, number)| (string.as_bytes().into(), number)).collect();
        sorted.sort_unstable();
        Prefixes { sorted }
    }

    /// Hands over the length and the number of every string that `text` begins with, short ones first. Each
    /// byte narrows the strings that are left, so that a text like none costs one look.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut left = &self.sorted[..];
        for (depth, &byte) in text.iter().enumerate() {
            let at = |string: &[u8]| string.get(depth).copied();
            let start = left.partition_point(|(string, _)| at(string) < Some(byte));
            let end = left.partition_point(|(string, _)| at(string) <= Some(byte));
            left = &left[start..end];
            let Some((shortest, number)) = left.first() else { return };
            if shortest.len() == depth + 1 {
                found(depth + 1, *number);
            }
        }
    }

    /// The length of the longest string that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut longest = None;
        self.each(text, |length, _| longest = Some(length));
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_that_a_text_begins_with_are_found(
            strings in prop::collection::btree_set("[ab]{1,4}", 0..12),
            text in "[ab]{0,6}",
        ) {
            let numbered = strings.iter().map(String::as_str).zip(0..);
            let prefixes = Prefixes::new(numbered.clone());
            let mut found = Vec::new();
            prefixes.each(text.as_bytes(), |length, number| found.push((length, number)));
            let mut want: Vec<(usize, u32)> = numbered
                .filter(|(string, _)| text.starts_with(string))
                .map(|(string, number)| (string.len(), number))
                .collect();
            want.sort_unstable();
            prop_assert_eq!(found, want);
        }
    }
}
