//! llama2.c's tokenizer, against the ids and the text that the stories260K model wrote.

use proptest::prelude::*;
use std::sync::LazyLock;
use tinytorch::text::{Llama2cTokenizer, TextError, TextStream, Tokenizer};

const FILE: &[u8] = include_bytes!("../data/stories260K/tok512.bin");
const TEXT: &str = include_str!("../data/stories260K/ref_greedy_text.txt");
const IDS: &[u8] = include_bytes!("../data/stories260K/ref_greedy_ids.npy");

static TOKENIZER: LazyLock<Llama2cTokenizer> =
    LazyLock::new(|| Llama2cTokenizer::from_bytes(FILE).unwrap());

/// The values of an NPY file of little-endian 64-bit integers, whose header takes 128 bytes.
fn reference_ids() -> Vec<i64> {
    assert!(IDS.starts_with(b"\x93NUMPY\x01\x00") && IDS[..128].ends_with(b"\n"));
    IDS[128..].as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

#[test]
fn the_reference_ids_are_the_reference_text() {
    let ids = reference_ids();
    assert_eq!(ids.len(), 201);
    assert_eq!(TOKENIZER.decode(&ids).unwrap(), TEXT);
    assert_eq!(TOKENIZER.encode(TEXT).unwrap(), ids);
}

#[test]
fn the_text_can_be_streamed_after_a_prompt() {
    let ids = reference_ids();
    let (prompt, rest) = ids.split_at(7);
    let mut text = TOKENIZER.decode(prompt).unwrap();
    let mut stream = TextStream::new(&*TOKENIZER, prompt);
    for &id in rest {
        text += &stream.push(id).unwrap();
    }
    text += &stream.finish();
    assert_eq!(text, TEXT);
}

#[test]
fn the_best_score_is_joined_first() {
    // "th" scores below "he", so the word is t + he.
    let pieces = |ids: &[i64]| {
        ids.iter().map(|&id| TOKENIZER.token(id).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pieces(&TOKENIZER.encode("the").unwrap()), ["\n<s>\n", " the"]);
    assert_eq!(pieces(&TOKENIZER.encode("ahe").unwrap()), ["\n<s>\n", " a", "he"]);
    let in_bytes = pieces(&TOKENIZER.encode("日").unwrap());
    assert_eq!(in_bytes, ["\n<s>\n", " ", "<0xE6>", "<0x97>", "<0xA5>"]);
}

#[test]
fn names_of_bytes_and_of_special_tokens_are_ordinary_text() {
    for text in ["<0x0A>", "<unk>", "\n<s>\n", "\n</s>\n", "", " ", "  two", "\0"] {
        let ids = TOKENIZER.encode(text).unwrap();
        assert_eq!(ids[0], Llama2cTokenizer::BEGIN);
        assert!(ids[1..].iter().all(|id| !TOKENIZER.special_tokens().contains(id)));
        assert_eq!(TOKENIZER.decode(&ids).unwrap(), text);
    }
    assert_eq!(TOKENIZER.encode("").unwrap(), [Llama2cTokenizer::BEGIN]);
}

proptest! {
    #[test]
    fn every_text_round_trips(text in any::<String>()) {
        prop_assert_eq!(TOKENIZER.decode(&TOKENIZER.encode(&text)?)?, text);
    }

    #[test]
    fn english_round_trips(text in "([a-zA-Z .,\n]|the |Lily )*") {
        prop_assert_eq!(TOKENIZER.decode(&TOKENIZER.encode(&text)?)?, text);
    }
}

#[test]
fn ids_outside_the_vocabulary_are_errors() {
    for id in [512, -1, i64::MAX] {
        let error = TOKENIZER.decode(&[1, id]).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(TextError::Id { vocab_size: 512, .. })));
    }
}

#[test]
fn broken_files_are_refused_with_the_reason() {
    let error = |bytes: &[u8]| Llama2cTokenizer::from_bytes(bytes).unwrap_err().to_string();
    let patched = |at: usize, with: [u8; 4]| {
        let mut bytes = FILE.to_vec();
        bytes[at..at + 4].copy_from_slice(&with);
        error(&bytes)
    };
    assert!(error(b"").contains("ends within the length of the longest token"));
    assert!(error(b"{\"version\": \"1.0\"}").contains("not a llama2.c tokenizer.bin"));
    assert!(error(&FILE[..4]).contains("no token <0x00>"));
    assert!(error(&FILE[..6]).contains("ends within a score"));
    assert!(error(&FILE[..FILE.len() - 1]).contains("token 511 says it has 3 bytes, with 2 left"));
    assert!(patched(8, i32::MAX.to_le_bytes()).contains("token 0 says it has 2147483647 bytes"));
    assert!(patched(8, (-1i32).to_le_bytes()).contains("token 0 says it has -1 bytes"));
    assert!(patched(0, 2i32.to_le_bytes()).contains("longest token at 2"));
    assert!(patched(4, f32::NAN.to_le_bytes()).contains("score of token \"<unk>\" is NaN"));
    assert!(patched(12, [0xFF; 4]).contains("token 0 is not UTF-8 from byte 0"));
    let twice = Llama2cTokenizer::new(vec![("a".to_owned(), 0.0), ("a".to_owned(), 0.0)]);
    assert!(twice.unwrap_err().to_string().contains("has two ids, 0 and 1"));
}
