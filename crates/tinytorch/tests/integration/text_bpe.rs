//! Byte-level BPE: any text decodes to itself, and files and ids are Hugging Face's.

use proptest::prelude::*;
use serde_json::Value;
use std::{path::Path, sync::LazyLock};
use tinytorch::text::{BpeTokenizer, BpeTrainer, HfTokenizer, TextError, TextStream, Tokenizer};

const FILE: &str = include_str!("../data/tokenizers/bpe.json");
const CORPUS: &str = include_str!("../data/tokenizers/corpus.txt");
const GOLDEN: &str = include_str!("../data/tokenizers/golden.json");
const END: &str = "<|endoftext|>";

static TRAINED: LazyLock<BpeTokenizer> =
    LazyLock::new(|| BpeTrainer::new(340).special_tokens([END]).train([CORPUS]).unwrap());

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn training_learns_the_same_merges_as_hugging_face() {
    let file = BpeTokenizer::from_json(FILE.as_bytes()).unwrap();
    assert_eq!(file.vocab_size(), 340);
    assert_eq!(TRAINED.vocab(), file.vocab());
    assert_eq!(TRAINED.merges(), file.merges());
}

#[test]
fn a_saved_file_is_what_hugging_face_writes() {
    let (ours, theirs) = (json(std::str::from_utf8(&TRAINED.to_json()).unwrap()), json(FILE));
    for part in ["version", "added_tokens", "normalizer", "truncation", "padding"] {
        assert_eq!(ours[part], theirs[part], "{part}");
    }
    assert_eq!(ours["pre_tokenizer"], theirs["pre_tokenizer"]);
    assert_eq!(ours["decoder"], theirs["decoder"]);
    for part in ["type", "vocab", "merges", "unk_token"] {
        assert_eq!(ours["model"][part], theirs["model"][part], "model.{part}");
    }
}

#[test]
fn ids_and_decoded_text_are_those_of_hugging_face() {
    let tokenizers: [&dyn Tokenizer; 2] =
        [&*TRAINED, &HfTokenizer::from_json(FILE.as_bytes()).unwrap()];
    for case in json(GOLDEN)["bpe"].as_array().unwrap() {
        for tokenizer in tokenizers {
            let ids = tokenizer.encode(case["text"].as_str().unwrap()).unwrap();
            assert_eq!(serde_json::to_value(&ids).unwrap(), case["ids"]);
            assert_eq!(tokenizer.decode(&ids).unwrap(), case["decoded"].as_str().unwrap());
        }
    }
}

proptest! {
    #[test]
    fn every_text_round_trips(text in any::<String>().prop_filter("special", |t| !t.contains(END))) {
        let ids = TRAINED.encode(&text)?;
        prop_assert_eq!(TRAINED.decode(&ids)?, text);
    }

    #[test]
    fn text_like_the_corpus_round_trips(text in "([a-z' ]|the |\\. |日本|é|\n){0,40}") {
        let ids = TRAINED.encode(&text)?;
        prop_assert!(ids.len() <= text.len());
        prop_assert_eq!(TRAINED.decode(&ids)?, text);
    }

    #[test]
    fn streamed_text_is_the_decoded_text(ids in prop::collection::vec(0i64..340, 0..60)) {
        let mut stream = TextStream::new(&*TRAINED, &[]);
        let mut text = String::new();
        for &id in &ids {
            text += &stream.push(id)?;
        }
        text += &stream.finish();
        prop_assert_eq!(text, TRAINED.decode(&ids)?);
    }

    #[test]
    fn training_on_any_text_gives_a_tokenizer_that_round_trips(
        corpus in "[ab ]{1,80}", extra in 0usize..40,
    ) {
        let tokenizer = BpeTokenizer::train(&corpus, 256 + extra)?;
        prop_assert!(tokenizer.vocab_size() <= 256 + extra);
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&corpus)?)?, corpus);
        prop_assert_eq!(BpeTokenizer::from_json(&tokenizer.to_json())?, tokenizer);
    }
}

#[test]
fn saving_loading_and_saving_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    TRAINED.save(&path).unwrap();
    let loaded = BpeTokenizer::load(&path).unwrap();
    assert_eq!(loaded, *TRAINED);
    assert_eq!(loaded.to_json(), std::fs::read(&path).unwrap());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn training_is_deterministic_and_breaks_ties_by_the_lowest_ids() {
    // Every pair occurs twice; the first merge is that of the lowest bytes.
    let tokenizer = BpeTokenizer::train("zy ab zy ab", 258).unwrap();
    assert_eq!(tokenizer.merges()[0], ("a", "b"));
    assert_eq!(tokenizer, BpeTokenizer::train("zy ab zy ab", 258).unwrap());
}

#[test]
fn rare_pairs_are_not_joined() {
    let counted = |count| BpeTrainer::new(300).min_count(count).train(["abab cd"]).unwrap();
    assert_eq!(counted(3).vocab_size(), 256);
    assert_eq!(counted(2).merges(), [("a", "b")]);
    assert_eq!(counted(1).merges().len(), 4);
}

#[test]
fn ordinary_text_never_becomes_a_special_token() {
    // The token of " a" is written "Ġa", which is also the name of this special token.
    let tokenizer = BpeTrainer::new(300).special_tokens(["Ġa"]).train([" a a a a"]).unwrap();
    let ids = tokenizer.encode(" a").unwrap();
    assert!(!ids.contains(&0));
    assert_eq!(tokenizer.decode(&ids).unwrap(), " a");
    assert_eq!(tokenizer.encode("Ġa").unwrap(), [0]);
}

#[test]
fn a_leading_space_is_added_where_the_file_says_so() {
    let mut file = json(FILE);
    file["pre_tokenizer"]["add_prefix_space"] = true.into();
    let tokenizer = BpeTokenizer::from_json(file.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("the").unwrap(), TRAINED.encode(" the").unwrap());
    assert_eq!(tokenizer.encode(" the").unwrap(), TRAINED.encode(" the").unwrap());
}

#[test]
fn files_of_2020_are_read() {
    // No model type, merges as strings, affixes that are empty instead of absent.
    let mut file = json(FILE);
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    let merges: Vec<String> = merges
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let model = file["model"].as_object_mut().unwrap();
    model.remove("type");
    model.insert("merges".to_owned(), merges.into());
    model.insert("continuing_subword_prefix".to_owned(), "".into());
    model.insert("end_of_word_suffix".to_owned(), "".into());
    assert_eq!(BpeTokenizer::from_json(file.to_string().as_bytes()).unwrap(), *TRAINED);
}

#[test]
fn a_vocabulary_that_cannot_be_built_is_an_error() {
    let error = |result: tinytorch::Result<BpeTokenizer>| result.unwrap_err().to_string();
    assert!(error(BpeTokenizer::train("", 300)).contains("corpus that is not empty"));
    assert!(error(BpeTokenizer::train("ab", 255)).contains("at least 256"));
    let twice = BpeTrainer::new(300).special_tokens(["<a>", "<a>"]).train(["ab"]);
    assert!(error(twice).contains("has two ids"));
    assert!(error(BpeTrainer::new(300).special_tokens([""]).train(["ab"])).contains("is empty"));
}

#[test]
fn ids_outside_the_vocabulary_are_errors() {
    for id in [340, -1, i64::MAX, i64::MIN] {
        let error = TRAINED.decode(&[5, id]).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(TextError::Id { vocab_size: 340, .. })));
        assert!(TRAINED.token(id).is_err());
    }
}

#[test]
fn errors_of_a_file_name_it() {
    let missing = BpeTokenizer::load("no/such/tokenizer.json").unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such/tokenizer.json"), "{missing}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers/corpus.txt");
    let other = BpeTokenizer::load(&path).unwrap_err().to_string();
    assert!(other.contains("corpus.txt: this is not a Hugging Face tokenizer.json"), "{other}");
    assert!(TRAINED.save("no/such/folder/tokenizer.json").is_err());
}

#[test]
fn a_contradictory_file_is_an_error_that_names_the_contradiction() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut file = json(FILE);
        change(&mut file);
        BpeTokenizer::from_json(file.to_string().as_bytes()).unwrap_err().to_string()
    };
    let model = |field: &'static str, value: Value| {
        broken(&move |file| file["model"][field] = value.clone())
    };
    assert!(model("merges", json(r#"[["a", "☃"]]"#)).contains(r#""☃" is not in the vocabulary"#));
    assert!(model("merges", json(r#"["ab"]"#)).contains("merge 0 is not a pair"));
    assert!(
        broken(&|file| drop(file["model"]["vocab"].as_object_mut().unwrap().remove("a")))
            .contains("does not continue ids")
    );
    assert!(broken(&|file| file["model"]["vocab"]["a"] = 5.into()).contains("two tokens"));
    assert!(broken(&|file| file["model"]["vocab"]["x1"] = 2000.into()).contains("no gap"));
    assert!(broken(&|file| file["added_tokens"][0]["id"] = 7.into()).contains("two tokens"));
    assert!(broken(&|file| file["added_tokens"][0]["id"] = 340.into()).contains("has two ids"));
    let twice = FILE.replacen("\"!\": 1,", "\"!\": 1, \"!\": 340,", 1);
    assert_ne!(twice, FILE);
    let twice = BpeTokenizer::from_json(twice.as_bytes()).unwrap_err().to_string();
    assert!(twice.contains("token \"!\" has two ids, 1 and 340"), "{twice}");
}
