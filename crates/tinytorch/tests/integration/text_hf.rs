//! `tokenizer.json` with WordPiece: ids, masks, truncation and padding are Hugging Face's, and what
//! is not supported is refused by name.

use serde_json::{Value, json};
use tinytorch::Tensor;
use tinytorch::text::{
    BpeTokenizer, CharTokenizer, HfTokenizer, Input, Padding, TextError, Tokenizer, Truncation,
};

const FILE: &str = include_str!("../data/tokenizers/wordpiece.json");
const GOLDEN: &str = include_str!("../data/tokenizers/golden.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn tokenizer() -> HfTokenizer {
    HfTokenizer::from_json(FILE.as_bytes()).unwrap()
}

/// The tokenizer of the file with one field replaced; `/` separates the names of the path.
fn with(path: &str, value: Value) -> Result<HfTokenizer, TextError> {
    let mut file = parsed(FILE);
    *file.pointer_mut(path).unwrap() = value;
    HfTokenizer::from_json(file.to_string().as_bytes())
}

fn rows(tensor: &Tensor) -> Value {
    let width = tensor.shape()[1];
    let values = tensor.to_vec::<i64>().unwrap();
    values.chunks(width).map(|row| json!(row)).collect()
}

#[test]
fn ids_and_decoded_text_are_those_of_hugging_face() {
    let tokenizer = tokenizer();
    for case in parsed(GOLDEN)["wordpiece"].as_array().unwrap() {
        let ids = tokenizer.encode(case["text"].as_str().unwrap()).unwrap();
        assert_eq!(json!(ids), case["ids"], "{}", case["text"]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), case["decoded"].as_str().unwrap());
    }
}

#[test]
fn batches_are_those_of_hugging_face() {
    for case in parsed(GOLDEN)["batches"].as_array().unwrap() {
        let mut file = parsed(FILE);
        file["truncation"] = case["truncation"].clone();
        file["padding"] = case["padding"].clone();
        let tokenizer = HfTokenizer::from_json(file.to_string().as_bytes()).unwrap();
        let inputs = case["inputs"].as_array().unwrap().iter().map(|input| Input {
            first: input[0].as_str().unwrap(),
            second: input.get(1).and_then(Value::as_str),
        });
        let settings = format!("{} {}", case["truncation"], case["padding"]);
        match tokenizer.encode_batch(inputs) {
            Ok(batch) => {
                assert_eq!(rows(&batch.ids), case["ids"], "{settings}");
                assert_eq!(rows(&batch.type_ids), case["type_ids"], "{settings}");
                assert_eq!(rows(&batch.attention_mask), case["attention_mask"], "{settings}");
            }
            Err(error) => {
                assert!(
                    matches!(error.downcast_ref(), Some(TextError::Truncation { .. })),
                    "{error}"
                );
                assert!(case["error"].as_str().unwrap().starts_with("Truncation"), "{settings}");
            }
        }
    }
}

#[test]
fn settings_of_the_file_can_be_replaced() {
    let tokenizer = with(
        "/padding",
        json!({
            "strategy": { "Fixed": 128 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        }),
    );
    let tokenizer = tokenizer.unwrap();
    assert_eq!(tokenizer.encode_batch(["the boat"]).unwrap().ids.shape().to_vec(), [1, 128]);
    let tokenizer = tokenizer
        .with_padding(Some(Padding::new(0, "[PAD]")))
        .unwrap()
        .with_truncation(Some(Truncation::new(4)));
    let batch = tokenizer.encode_batch(["the", "the captain thought"]).unwrap();
    assert_eq!(rows(&batch.ids), json!([[2, 135, 3, 0], [2, 135, 170, 3]]));
    assert_eq!(rows(&batch.attention_mask), json!([[1, 1, 1, 0], [1, 1, 1, 1]]));
    assert_eq!(rows(&batch.type_ids), json!([[0, 0, 0, 0], [0, 0, 0, 0]]));
    assert!(tokenizer.with_padding(Some(Padding::new(300, "[PAD]"))).is_err());
}

#[test]
fn the_empty_text_is_its_special_tokens() {
    let encoding = tokenizer().encode_input("").unwrap();
    assert_eq!((encoding.ids, encoding.attention_mask), (vec![2, 3], vec![1, 1]));
}

#[test]
fn batches_that_cannot_be_are_errors() {
    let tokenizer = tokenizer();
    let error = tokenizer.encode_batch([""; 0]).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(TextError::EmptyBatch)));
    let error = tokenizer.encode_batch(["the", "the captain"]).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(TextError::Ragged { shortest: 3, longest: 4 })),
        "{error}"
    );
    let cut = tokenizer.clone().with_truncation(Some(Truncation::new(1)));
    let error = cut.encode("the").unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(TextError::Truncation { max_length: 1, .. })));
    for (fixed, multiple) in [(usize::MAX, 1), (1 << 40, 1), (3, usize::MAX), (3, 1 << 40)] {
        let padding = json!({
            "strategy": { "Fixed": fixed }, "direction": "Right", "pad_to_multiple_of": multiple,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        });
        let huge = with("/padding", padding).unwrap();
        let error = huge.encode_batch(["the"]).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(TextError::TooLarge { .. })), "{error}");
    }
}

#[test]
fn added_tokens_are_found_in_the_text_or_in_the_normalized_text() {
    let added = |content: &str, normalized: bool| {
        json!({ "id": 300, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": normalized, "special": false })
    };
    let mut tokens = parsed(FILE)["added_tokens"].as_array().unwrap().clone();
    tokens.push(added("New-Token", false));
    let raw = with("/added_tokens", tokens.clone().into()).unwrap();
    assert_eq!(raw.vocab_size(), 301);
    assert_eq!(raw.encode("the New-Token").unwrap(), [2, 135, 300, 3]);
    assert!(!raw.encode("the new-token").unwrap().contains(&300));
    assert_eq!(raw.decode(&[2, 135, 300, 3]).unwrap(), "the New-Token");
    tokens.pop();
    tokens.push(added("captains", false));
    let raw = with("/added_tokens", tokens.clone().into()).unwrap();
    assert_eq!(raw.encode("captains").unwrap(), [2, 300, 3]);
    assert!(!raw.encode("Captains").unwrap().contains(&300), "it is not a piece of words");
    tokens.pop();
    tokens.push(added("New-Token", true));
    let normalized = with("/added_tokens", tokens.into()).unwrap();
    assert_eq!(normalized.encode("the NEW-tokén").unwrap(), [2, 135, 300, 3]);
}

#[test]
fn unsupported_components_are_named() {
    let cases = [
        ("/decoder", json!({ "type": "CTC" }), "decoder is CTC"),
        ("/decoder", json!({ "type": "BPEDecoder" }), "decoder is BPEDecoder"),
        ("/post_processor", json!({ "type": "Own" }), "post_processor is Own"),
    ];
    for (path, value, named) in cases {
        let error = with(path, value).unwrap_err();
        assert!(matches!(error, TextError::Unsupported { .. }), "{path}: {error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn what_the_readers_here_do_not_know_the_library_runs_or_refuses() {
    for (path, value) in [
        ("/model/type", json!("WordLevel")),
        ("/normalizer", json!({ "type": "NFKC" })),
        ("/normalizer", json!(null)),
        ("/decoder/prefix", json!("@@")),
        ("/added_tokens/0/single_word", json!(true)),
    ] {
        let read = with(path, value);
        assert!(read.is_ok(), "{path}: {read:?}");
    }
    for (path, value) in [
        ("/model/type", json!("Unigram")),
        ("/model/type", json!("Own")),
        ("/normalizer", json!({ "type": "Own" })),
        ("/pre_tokenizer", json!({ "type": "Sequence" })),
        ("/post_processor", json!({ "type": "RobertaProcessing" })),
    ] {
        let error = with(path, value).unwrap_err();
        assert!(matches!(error, TextError::Format { .. }), "{path}: {error}");
    }
}

#[test]
fn files_that_contradict_themselves_are_errors() {
    let template = |single: Value| {
        let pair = json!([{ "Sequence": { "id": "A", "type_id": 0 } },
                          { "Sequence": { "id": "B", "type_id": 1 } }]);
        json!({ "type": "TemplateProcessing", "single": single, "pair": pair,
                "special_tokens": { "[X]": { "id": "[X]", "ids": [900], "tokens": ["[X]"] } } })
    };
    let special = |id: &str| json!([{ "SpecialToken": { "id": id, "type_id": 0 } }]);
    let cases = [
        ("/post_processor", template(special("[X]")), "token id 900 is outside"),
        ("/post_processor", template(special("[Y]")), "\"[Y]\" is not defined"),
        ("/post_processor", template(json!([])), "A once and no B"),
        ("/model/unk_token", json!("[OTHER]"), "no token \"[OTHER]\""),
        ("/model/unk_token", json!(null), "no unk_token"),
        ("/model/max_input_chars_per_word", json!(1_000_000), "at most 1000"),
        ("/model/vocab", json!([["a", -1.0]]), "a list, not a map"),
        ("/model/vocab", json!("a"), "expected a map from tokens to ids"),
        ("/normalizer", json!({ "type": "BertNormalizer" }), "missing field"),
    ];
    for (path, value, reason) in cases {
        let error = with(path, value).unwrap_err().to_string();
        assert!(error.contains(reason), "{path}: {error}");
    }
    assert!(with("/model/type", json!(null)).is_ok(), "the fields tell the model");
}

#[test]
fn one_reader_takes_all_models() {
    let chars = CharTokenizer::from_corpus("hello\nworld").unwrap();
    let bytes = BpeTokenizer::bytes();
    for json in [chars.to_json(), bytes.to_json()] {
        let tokenizer = HfTokenizer::from_json(&json).unwrap();
        let ids = tokenizer.encode("hello\nworld").unwrap();
        assert_eq!(ids.len(), 11);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "hello\nworld");
    }
    let error = CharTokenizer::from_json(&bytes.to_json()).unwrap_err().to_string();
    assert!(error.contains("model is BPE"), "{error}");
    let error = BpeTokenizer::from_json(FILE.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("model is WordPiece"), "{error}");
}
