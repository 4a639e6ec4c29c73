//! Bytes as printable characters.

/// How byte-level BPE writes the 256 bytes as printable characters, so that a vocabulary of byte
/// strings is readable text (Radford et al., GPT-2, 2019): bytes that print stand for themselves
/// (as Latin-1), the others follow from U+0100 on. A space is `Ġ`, a line feed `Ċ`.
const CHARS: [char; 256] = chars();

/// One past the last character in `CHARS`.
const LIMIT: usize = 0x100 + 68;

/// The byte of each character, 256 where there is none.
const BYTES: [u16; LIMIT] = bytes();

const fn chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let mut next = 0x100u32;
    let mut byte = 0;
    while byte < 256 {
        let prints = matches!(byte as u8, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if prints { byte as u32 } else { next };
        if !prints {
            next += 1;
        }
        chars[byte] = match char::from_u32(code) {
            Some(c) => c,
            None => panic!("codes stay below U+0144"),
        };
        byte += 1;
    }
    chars
}

const fn bytes() -> [u16; LIMIT] {
    let mut bytes = [256; LIMIT];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
}

/// The character that stands for `byte`.
pub(super) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The bytes in the order of their characters.
pub(super) fn bytes_in_order() -> impl Iterator<Item = u8> {
    BYTES.iter().filter_map(|&byte| u8::try_from(byte).ok())
}

/// Appends the bytes that a token stands for: those of its characters, or of its UTF-8 if it has a
/// character outside the alphabet, as added tokens may.
pub(crate) fn append_bytes(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in token.chars() {
        match BYTES.get(c as usize).and_then(|&byte| u8::try_from(byte).ok()) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_printable_character() {
        let text: String = (0..=255).map(char_of).collect();
        assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace()));
        let mut bytes = Vec::new();
        append_bytes(&text, &mut bytes);
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'A')), ('Ġ', 'Ċ', 'A'));
        assert!(bytes_in_order().map(char_of).is_sorted());
        assert_eq!(bytes_in_order().count(), 256);
    }

    #[test]
    fn other_characters_stand_for_themselves() {
        let mut bytes = Vec::new();
        append_bytes("Ġa b", &mut bytes);
        assert_eq!(bytes, "Ġa b".as_bytes());
    }
}
