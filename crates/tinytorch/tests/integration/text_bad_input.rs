//! Whatever the bytes are, the readers answer with a tokenizer or an error, and what they accept
//! works.

use proptest::prelude::*;
use tinytorch::text::{
    BpeTokenizer, CharTokenizer, HfTokenizer, Llama2cTokenizer, Tokenizer, utf8,
};

const FILES: [&[u8]; 3] = [
    include_bytes!("../data/tokenizers/wordpiece.json"),
    include_bytes!("../data/tokenizers/bpe.json"),
    include_bytes!("../data/stories260K/tok512.bin"),
];

fn read_all(bytes: &[u8]) {
    let readers: [fn(&[u8]) -> Option<Box<dyn Tokenizer>>; 4] = [
        |bytes| Some(Box::new(HfTokenizer::from_json(bytes).ok()?)),
        |bytes| Some(Box::new(BpeTokenizer::from_json(bytes).ok()?)),
        |bytes| Some(Box::new(CharTokenizer::from_json(bytes).ok()?)),
        |bytes| Some(Box::new(Llama2cTokenizer::from_bytes(bytes).ok()?)),
    ];
    for tokenizer in readers.iter().filter_map(|read| read(bytes)) {
        if let Ok(ids) = tokenizer.encode("The captain's été, 12 日本 [SEP] <|endoftext|>") {
            tokenizer.decode(&ids).expect("ids of the tokenizer itself");
        }
    }
}

/// A valid file with some bytes replaced, and perhaps its end cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (0..FILES.len(), edits, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(
        |(file, edits, cut)| {
            let mut bytes = FILES[file].to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            bytes
        },
    )
}

/// A valid `tokenizer.json` with a number, a string or a structure put in place of some value.
fn rewritten() -> impl Strategy<Value = Vec<u8>> {
    let values = prop::sample::select(vec![
        "null",
        "-1",
        "0",
        "1e300",
        "18446744073709551615",
        "9223372036854775807",
        "\"\"",
        "\"##\"",
        "[]",
        "{}",
        "true",
        "[[\"a\",\"b\"]]",
        "\"\\u0000\"",
    ]);
    (0..2usize, any::<prop::sample::Index>(), values).prop_map(|(file, at, value)| {
        let text = utf8(FILES[file], "test data").unwrap();
        let places: Vec<usize> =
            text.match_indices("\": ").map(|(at, found)| at + found.len()).collect();
        let start = *at.get(&places);
        let end = start + text[start..].find([',', '\n']).unwrap();
        [&text[..start], value, &text[end..]].concat().into_bytes()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn damaged_files(bytes in damaged()) {
        read_all(&bytes);
    }

    #[test]
    fn rewritten_files(bytes in rewritten()) {
        read_all(&bytes);
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = format!("{{\"model\": {}", "[".repeat(1 << 20));
    assert!(HfTokenizer::from_json(deep.as_bytes()).is_err());
    let deep = format!("{{\"normalizer\": {}", "{\"a\":".repeat(1 << 20));
    assert!(HfTokenizer::from_json(deep.as_bytes()).is_err());
}

#[test]
fn text_that_is_not_utf8_says_where() {
    let error = utf8(b"caf\xe9", "sentences.txt").unwrap_err().to_string();
    assert_eq!(error, "sentences.txt is not UTF-8 from byte 3 on; convert it to UTF-8 first");
    let error = HfTokenizer::from_json(b"{\"a\": \"\xff\"}").unwrap_err().to_string();
    assert!(error.contains("not UTF-8 from byte 7"), "{error}");
}
