//! Tokenizers of the kinds that published models use: ids and text are Hugging Face's, for hard strings.

use serde_json::{Value, json};
use tinytorch::text::{HfTokenizer, TextStream, Tokenizer};

fn golden() -> Value {
    serde_json::from_str(include_str!("../data/tokenizers/kinds.json")).unwrap()
}

fn load(file: &Value) -> HfTokenizer {
    HfTokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

#[test]
fn ids_are_those_of_hugging_face() {
    let golden = golden();
    let texts = golden["texts"].as_array().unwrap();
    assert!(texts.len() >= 200 && golden["kinds"].as_object().unwrap().len() >= 14);
    for (kind, case) in golden["kinds"].as_object().unwrap() {
        let tokenizer = load(&case["file"]);
        for (text, want) in texts.iter().zip(case["ids"].as_array().unwrap()) {
            let ids = tokenizer.encode(text.as_str().unwrap()).unwrap();
            assert_eq!(json!(ids), *want, "{kind}: {text}");
        }
    }
}

#[test]
fn text_is_that_of_hugging_face_at_once_and_token_by_token() {
    let golden = golden();
    for (kind, case) in golden["kinds"].as_object().unwrap() {
        let tokenizer = load(&case["file"]);
        let rows = case["ids"].as_array().unwrap().iter().zip(case["decoded"].as_array().unwrap());
        for (ids, want) in rows {
            let ids: Vec<i64> = serde_json::from_value(ids.clone()).unwrap();
            let want = want.as_str().unwrap();
            let text = tokenizer.decode(&ids).unwrap();
            // How many replacement characters stand for bytes that are no text differs.
            if !want.contains('\u{fffd}') {
                assert_eq!(text, want, "{kind}: {ids:?}");
            }
            let mut stream = TextStream::new(&tokenizer, &[]);
            let pieces = ids.iter().map(|&id| stream.push(id).unwrap()).collect::<String>();
            assert_eq!(pieces + &stream.finish(), text, "{kind}: {ids:?}");
        }
    }
}

#[test]
fn ids_that_no_token_has_are_no_text() {
    let tokenizer = load(&golden()["kinds"]["holes"]["file"]);
    assert_eq!((tokenizer.vocab_size(), tokenizer.id("zz")), (301, Some(300)));
    assert_eq!(tokenizer.decode(&[270, 104, 299]).unwrap(), "h");
    let mut far = golden()["kinds"]["holes"]["file"].clone();
    far["model"]["vocab"]["zz"] = json!(4_000_000_000u32);
    let line = HfTokenizer::from_json(far.to_string().as_bytes()).unwrap_err().to_string();
    assert!(line.contains("the largest id of a token takes 4000000000"), "{line}");
}

#[test]
fn maps_of_characters_may_be_empty_and_damaged_ones_are_errors() {
    let with = |map: &str| {
        let mut file = golden()["kinds"]["t5"]["file"].clone();
        file["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": map});
        HfTokenizer::from_json(file.to_string().as_bytes())
    };
    assert_eq!(with("").unwrap().encode("a").unwrap(), [2]);
    for damaged in ["AAAA", "/////w==", "not base64!"] {
        let line = with(damaged).unwrap_err().to_string();
        assert!(line.contains("tokenizer.json"), "{line}");
    }
}

#[test]
fn what_nobody_knows_is_named() {
    let golden = golden();
    let with = |path: &str, value: Value| {
        let mut file = golden["kinds"]["llama2"]["file"].clone();
        *file.pointer_mut(path).unwrap() = value;
        HfTokenizer::from_json(file.to_string().as_bytes()).unwrap_err().to_string()
    };
    assert!(with("/decoder", json!({"type": "CTC"})).contains("decoder is CTC"));
    assert!(with("/normalizer", json!({"type": "Rot13"})).contains("tokenizer.json"));
    assert!(with("/model/dropout", json!(0.5)).contains("BPE with dropout"));
    assert!(with("/post_processor", json!({"type": "Other"})).contains("post_processor is Other"));
}
