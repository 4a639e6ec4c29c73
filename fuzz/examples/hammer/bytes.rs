//! Changes of bytes and of texts.

use crate::numbers::Numbers;
use std::ops::Range;

/// Numbers at which arithmetic goes wrong, as a text has them.
const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "2",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "-1e999",
    "0.5",
    "NaN",
    "0000000000000000000000000000000000001",
    "1e",
];

/// Values that stand where others are expected.
const VALUES: [&str; 12] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[[[[[[[[]]]]]]]]",
    "{\"a\":{\"a\":{}}}",
    "\"\\u0000\"",
    "\"\u{feff}\u{10ffff}\"",
    "\"<0xFF>\"",
    "-0",
    "[0,1,2]",
];

/// What a format is made of, to be put anywhere.
fn tokens(target: &str) -> &'static [&'static [u8]] {
    match target {
        "torch_pickle" => &[
            b"(", b")", b"t", b"}", b"]", b"u", b"s", b"e", b"a", b"b", b"R", b"Q", b"0", b"2",
            b".", b"\x85", b"\x86", b"\x87", b"\x88", b"N", b"q\0", b"h\0", b"h\x03", b"K\x01",
            b"M\xff\xff", b"J\xff\xff\xff\x7f", b"J\0\0\0\x80", b"\x94", b"\x93", b"X\x01\0\0\0a",
            b"X\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"j\0\0\0\0", b"\x8a\x08\0\0\0\0\0\0\0\x80",
            b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch\nFloatStorage\n", b"cos\nsystem\n", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
        ],
        "torch" | "npz" => &[
            b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07",
            b"\x01\0\x10\0", b"\xff\xff\xff\xff", b"\x08\0", b"data.pkl", b"byteorder", b"big",
        ],
        "npy" | "npz_member" => &[
            b"\x93NUMPY\x01\0", b"\x93NUMPY\x02\0", b"'descr': '<f8'", b"'descr': '>f4'", b"|b1",
            b"'|O'", b"<U3", b"<c8", b"'fortran_order': True", b"'shape': (0,)", b"'shape': ()",
            b"(4294967296, 4294967296)", b"[('a', '<f4')]", b"}", b"\n", b",",
        ],
        _ => &[b"\0", b"\n", b"\xff"],
    }
}

/// Where words, numbers and strings of a text begin and end.
fn words(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|&&byte| is_word(byte)).count();
        if len > 0 {
            found.push(at..at + len);
        }
        at += len.max(1);
    }
    found
}

/// A part of a text from a bracket to the one that closes it, which begins as near behind `from` as one does.
fn bracketed(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let is_open = |byte: &u8| b"{[(".contains(byte);
    let start = from + bytes[from..].iter().position(is_open)?;
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        depth += i32::from(is_open(byte)) - i32::from(b"}])".contains(byte));
        if depth == 0 {
            return Some(start..at + 1);
        }
    }
    None
}

/// One change of an input.
pub(crate) fn change(target: &str, input: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    let len = input.len();
    match numbers.below(12) {
        0 if len > 0 => input[numbers.below(len)] ^= 1 << numbers.below(8),
        1 if len > 0 => {
            let width = 1 << numbers.below(4);
            let at = numbers.below(len);
            let end = (at + width).min(len);
            let mut bytes = numbers.field().to_le_bytes();
            if numbers.below(4) == 0 {
                bytes[..width].reverse();
            }
            input[at..end].copy_from_slice(&bytes[..end - at]);
        }
        2 if numbers.below(4) == 0 => input.truncate(numbers.below(len + 1)),
        3 => drop(input.drain(numbers.range(len))),
        4 => {
            let part = input[numbers.range(len)].to_vec();
            let at = numbers.below(len + 1);
            input.splice(at..at, part);
        }
        5 => {
            let other = &seeds[numbers.below(seeds.len())];
            let part = other[numbers.range(other.len())].to_vec();
            input.splice(numbers.range(len), part);
        }
        6 | 2 => {
            let at = numbers.below(len + 1);
            let until = (at + numbers.below(4)).min(len);
            input.splice(at..until, numbers.of(tokens(target)).iter().copied());
        }
        7 => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = [numbers.below(len + 1), numbers.below(other.len() + 1)];
            if let (Some(own), Some(part)) = (bracketed(input, from[0]), bracketed(other, from[1])) {
                input.splice(own, other[part].iter().copied());
            }
        }
        kind => change_words(kind - 8, input, numbers),
    }
    input.truncate(1 << 16);
}

/// One change of a text.
fn change_words(kind: usize, input: &mut Vec<u8>, numbers: &mut Numbers) {
    let words = words(input);
    if words.is_empty() {
        return;
    }
    let word = words[numbers.below(words.len())].clone();
    let other = words[numbers.below(words.len())].clone();
    match kind {
        0 => drop(input.splice(word, numbers.of(&NUMBERS).bytes())),
        1 => {
            // The quotes of a string go with it.
            let is_quoted = word.start > 0
                && input[word.start - 1] == b'"'
                && input.get(word.end) == Some(&b'"');
            let whole = if is_quoted { word.start - 1..word.end + 1 } else { word };
            input.splice(whole, numbers.of(&VALUES).bytes());
        }
        2 => {
            let other = input[other].to_vec();
            input.splice(word, other);
        }
        _ => {
            let until = word.start.max(other.end);
            let part = input[word.start..until].to_vec();
            for _ in 0..=numbers.below(4) {
                input.splice(until..until, part.iter().copied());
            }
        }
    }
}

/// Makes the length that begins a safetensors file that of its header again.
pub(crate) fn repair_header(input: &mut [u8]) {
    let Some(body) = input.get(8..) else { return };
    let (mut depth, mut end) = (0i32, body.len());
    for (at, byte) in body.iter().enumerate() {
        depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
        if depth == 0 {
            end = at + 1;
            break;
        }
    }
    let spaces = body[end..].iter().take_while(|&&byte| byte == b' ').count();
    input[..8].copy_from_slice(&((end + spaces) as u64).to_le_bytes());
}
