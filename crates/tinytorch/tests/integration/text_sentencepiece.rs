//! SentencePiece's `tokenizer.model`: ids and text are SentencePiece's own, for hard strings
//! (`tests/data/sentencepiece/make.py`).

use serde_json::Value;
use tinytorch::text::{SentencePieceTokenizer, TextStream, Tokenizer, load_tokenizer};

const MODELS: [(&str, &[u8]); 6] = [
    ("unigram", include_bytes!("../data/sentencepiece/unigram.model")),
    ("unigram_bytes", include_bytes!("../data/sentencepiece/unigram_bytes.model")),
    ("unigram_unused", include_bytes!("../data/sentencepiece/unigram_unused.model")),
    ("bpe_llama", include_bytes!("../data/sentencepiece/bpe_llama.model")),
    ("bpe_llama_unused", include_bytes!("../data/sentencepiece/bpe_llama_unused.model")),
    ("bpe_symbols", include_bytes!("../data/sentencepiece/bpe_symbols.model")),
];

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn ids_and_text_are_those_of_sentencepiece() {
    let kinds: Value = serde_json::from_str(include_str!("../data/tokenizers/kinds.json")).unwrap();
    let texts: Vec<String> = list(&kinds["texts"]);
    assert!(texts.len() >= 200);
    let golden: Value =
        serde_json::from_str(include_str!("../data/sentencepiece/golden.json")).unwrap();
    for (name, bytes) in MODELS {
        let tokenizer = SentencePieceTokenizer::from_bytes(bytes).unwrap();
        let begin = golden[name]["begin"].as_i64().filter(|id| *id >= 0);
        let ids: Vec<Vec<i64>> = list(&golden[name]["ids"]);
        let decoded: Vec<String> = list(&golden[name]["decoded"]);
        for ((text, want), decoded) in texts.iter().zip(&ids).zip(&decoded) {
            assert_eq!(tokenizer.pieces(text).unwrap(), *want, "{name}: {text:?}");
            let whole: Vec<i64> = begin.into_iter().chain(want.iter().copied()).collect();
            assert_eq!(tokenizer.encode(text).unwrap(), whole);
            // How many replacement characters stand for bytes that are no text differs.
            if !decoded.contains('\u{fffd}') {
                assert_eq!(tokenizer.decode(want).unwrap(), *decoded, "{name}: {want:?}");
                assert_eq!(tokenizer.decode(&whole).unwrap(), *decoded, "{name}: {want:?}");
            }
            let mut stream = TextStream::new(&tokenizer, &[]);
            let pieces = whole.iter().map(|&id| stream.push(id).unwrap()).collect::<String>();
            assert_eq!(pieces + &stream.finish(), tokenizer.decode(&whole).unwrap());
        }
    }
}

#[test]
fn any_tokenizer_file_may_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    let (_, bytes) = MODELS[3];
    std::fs::write(&path, bytes).unwrap();
    let tokenizer = load_tokenizer(&path).unwrap();
    assert_eq!(tokenizer.id("<s>"), Some(1));
    assert_eq!(tokenizer.special_tokens(), [0, 1, 2]);
}

#[test]
fn damaged_files_are_errors_and_what_is_not_known_is_named() {
    let (_, bytes) = MODELS[0];
    let refused = |bytes: &[u8]| SentencePieceTokenizer::from_bytes(bytes).unwrap_err().to_string();
    for end in 1..bytes.len() {
        // A message may end behind any whole field, so that some cuts are shorter vocabularies.
        if let Ok(tokenizer) = SentencePieceTokenizer::from_bytes(&bytes[..end]) {
            assert!(tokenizer.encode("hello").is_ok());
        }
    }
    assert!(refused(b"").contains("it has no pieces"));
    let with = |field: &[u8]| refused(&[bytes, field].concat());
    assert!(with(&[0x12, 2, 0x18, 3]).contains("model is WORD"));
    assert!(with(&[0x12, 2, 0x18, 4]).contains("model is CHAR"));
    assert!(with(&[0x12, 3, 0xc0, 0x01, 1]).contains("treat_whitespace_as_suffix"));
    assert!(with(&[0x1a, 2, 0x28, 0]).contains("escape_whitespaces"));
    assert!(with(&[0x2a, 3, 0x12, 1, 0]).contains("a denormalizer"));
    assert!(with(&[0x1a, 3, 0x12, 1, 0]).contains("map of characters is cut short"));
    assert!(with(&[0x0a, 5, 0x0a, 3, b'<', b's', b'>']).contains("two ids"));
    assert!(with(&[0x0a, 5, 0x0a, 1, b'x', 0x18, 9]).contains("of the kind 9"));
    assert!(with(&[0x0a, 0x7f]).contains("ends within a field"));
}
