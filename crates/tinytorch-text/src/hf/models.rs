//! The models of a `tokenizer.json`, to and from tokenizers.

use super::schema::{Entries, File, MergeEntry, Model, kind_of, settings};
use super::template::TemplateFile;
use crate::wordpiece::{BertNormalizer, WordPieceRules};
use crate::{AddedToken, BpeTokenizer, CharTokenizer, TextError, Tokenizer, WordPieceTokenizer};
use serde::Deserialize;
use serde_json::{Value, json};

/// Cutting a word takes time with the square of its length.
const MAX_WORD_CHARS: usize = 1000;

fn require(
    holds: bool,
    part: &'static str,
    found: &str,
    supported: &'static str,
) -> Result<(), TextError> {
    if holds { Ok(()) } else { Err(TextError::unsupported(part, found, supported)) }
}

fn require_model(file: &File, kind: &'static str) -> Result<(), TextError> {
    require(file.model.kind() == kind, "model", file.model.kind(), kind)
}

fn require_no_normalizer(file: &File) -> Result<(), TextError> {
    let found = kind_of(file.normalizer.as_ref());
    require(found == "none", "normalizer", found, "none, for this model")
}

/// The template of the post-processor, if it has one.
pub(super) fn template_settings(part: Option<Value>) -> Result<Option<TemplateFile>, TextError> {
    match kind_of(part.as_ref()) {
        // ByteLevel only adjusts the offsets of tokens, which are not given out.
        "none" | "ByteLevel" => Ok(None),
        "TemplateProcessing" => settings("post_processor", "TemplateProcessing", part).map(Some),
        "BertProcessing" => around("BertProcessing", part, 1, 1).map(Some),
        "RobertaProcessing" => around("RobertaProcessing", part, 2, 0).map(Some),
        "Sequence" => in_sequence(part),
        other => {
            let supported =
                "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence, none";
            Err(TextError::unsupported("post_processor", other, supported))
        }
    }
}

#[derive(Deserialize)]
struct SeparatedFile {
    sep: (String, i64),
    cls: (String, i64),
}

/// A beginning, the text and an end; `between` ends between two texts, of which the second has this type.
fn around(
    kind: &'static str,
    part: Option<Value>,
    between: usize,
    second_type: i64,
) -> Result<TemplateFile, TextError> {
    let SeparatedFile { sep, cls } = settings("post_processor", kind, part)?;
    let special = |(token, _): &(String, i64), type_id: i64| json!({ "SpecialToken": { "id": token, "type_id": type_id } });
    let text = |id: &str, type_id: i64| json!({ "Sequence": { "id": id, "type_id": type_id } });
    let single = vec![special(&cls, 0), text("A", 0), special(&sep, 0)];
    let mut pair = single.clone();
    pair.extend((1..between).map(|_| special(&sep, 0)));
    pair.extend([text("B", second_type), special(&sep, second_type)]);
    let ids = |(token, id): &(String, i64)| json!({ "id": token, "ids": [id], "tokens": [token] });
    let mut special_tokens = serde_json::Map::new();
    special_tokens.insert(sep.0.clone(), ids(&sep));
    special_tokens.insert(cls.0.clone(), ids(&cls));
    let file = json!({ "single": single, "pair": pair, "special_tokens": special_tokens });
    serde_json::from_value(file).map_err(|error| TextError::not_json(error.to_string()))
}

/// The only part of a sequence that puts something around a text.
fn in_sequence(part: Option<Value>) -> Result<Option<TemplateFile>, TextError> {
    let parts = part.as_ref().and_then(|part| part.get("processors")).and_then(Value::as_array);
    let mut found = None;
    for part in parts.into_iter().flatten() {
        // Nested ones would be another way to write a flat one.
        if kind_of(Some(part)) == "Sequence" {
            return Err(TextError::unsupported("post_processor", "Sequence in Sequence", "one"));
        }
        if let Some(template) = template_settings(Some(part.clone()))?
            && found.replace(template).is_some()
        {
            let supported = "one that adds tokens";
            return Err(TextError::unsupported("post_processor", "Sequence of several", supported));
        }
    }
    Ok(found)
}

/// A tokenizer on its own puts nothing around a text.
fn require_no_template(part: Option<Value>) -> Result<(), TextError> {
    let template = template_settings(part)?;
    require(
        template.is_none(),
        "post_processor",
        "TemplateProcessing",
        "none here; use HfTokenizer",
    )
}

#[derive(Deserialize)]
struct NoSettings {}

#[derive(Deserialize)]
struct WordPieceDecoder {
    prefix: String,
    cleanup: bool,
}

pub(super) fn wordpiece_from_file(file: File) -> Result<WordPieceTokenizer, TextError> {
    require_model(&file, "WordPiece")?;
    let normalizer: BertNormalizer = settings("normalizer", "BertNormalizer", file.normalizer)?;
    settings::<NoSettings>("pre_tokenizer", "BertPreTokenizer", file.pre_tokenizer)?;
    let decoder: WordPieceDecoder = settings("decoder", "WordPiece", file.decoder)?;
    let Model { unk_token, continuing_subword_prefix, max_input_chars_per_word, vocab, .. } =
        file.model;
    let prefix = continuing_subword_prefix.unwrap_or_else(|| "##".to_owned());
    require(decoder.prefix == prefix, "decoder", &decoder.prefix, "the model's own prefix")?;
    let max_chars = max_input_chars_per_word.unwrap_or(100);
    if max_chars > MAX_WORD_CHARS {
        let what = "max_input_chars_per_word (in characters)";
        let (size, limit) = (max_chars as u64, MAX_WORD_CHARS as u64);
        return Err(TextError::TooLarge { what, size, limit });
    }
    let unknown = match unk_token.as_ref().and_then(Value::as_str) {
        Some(token) => token.to_owned(),
        None => {
            return Err(TextError::not_json("the WordPiece model names no unk_token".to_owned()));
        }
    };
    let rules = WordPieceRules { unknown, prefix, max_chars, tidy: decoder.cleanup };
    WordPieceTokenizer::new(vocab.into_vocab()?, file.added_tokens, normalizer, rules)
}

#[derive(Deserialize)]
struct ByteLevel {
    #[serde(default = "yes")]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

pub(crate) fn bpe_from_file(file: File) -> Result<BpeTokenizer, TextError> {
    require_model(&file, "BPE")?;
    require_no_normalizer(&file)?;
    let words: ByteLevel = settings("pre_tokenizer", "ByteLevel", file.pre_tokenizer)?;
    require(words.use_regex, "pre_tokenizer", "ByteLevel without use_regex", "use_regex: true")?;
    settings::<NoSettings>("decoder", "ByteLevel", file.decoder)?;
    require_no_template(file.post_processor)?;
    let model = file.model;
    let absent = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    let plain = [
        (model.dropout.unwrap_or(0.0) == 0.0, "BPE with dropout"),
        (absent(&model.continuing_subword_prefix), "BPE with continuing_subword_prefix"),
        (absent(&model.end_of_word_suffix), "BPE with end_of_word_suffix"),
        (!model.byte_fallback, "BPE with byte_fallback"),
        (!model.ignore_merges, "BPE with ignore_merges"),
    ];
    for (holds, found) in plain {
        require(holds, "model", found, "byte-level BPE without it")?;
    }
    let vocab = model.vocab.into_vocab()?;
    let merges = model.merges.unwrap_or_default();
    let pairs = merges.iter().enumerate().map(|(rank, merge)| {
        merge
            .parts()
            .ok_or_else(|| TextError::not_json(format!("merge {rank} is not a pair of tokens")))
    });
    let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
    let table = BpeTokenizer::merge_table(&vocab, pairs)?;
    BpeTokenizer::new(vocab, table, file.added_tokens, words.add_prefix_space)
}

pub(crate) fn bpe_to_file(tokenizer: &BpeTokenizer) -> File {
    let byte_level = |add_prefix_space: bool| {
        Some(json!({
            "type": "ByteLevel",
            "add_prefix_space": add_prefix_space,
            "trim_offsets": true,
            "use_regex": true,
        }))
    };
    let merges = tokenizer.merges().into_iter();
    let model = Model {
        kind: Some("BPE".to_owned()),
        merges: Some(merges.map(|(l, r)| MergeEntry::Pair(l.to_owned(), r.to_owned())).collect()),
        ..Model::default()
    };
    File {
        pre_tokenizer: byte_level(tokenizer.adds_prefix_space()),
        post_processor: byte_level(true),
        decoder: byte_level(true),
        ..file(model, tokenizer, tokenizer.added_tokens().to_vec())
    }
}

/// A file with this model and the tokens of `tokenizer`.
fn file(model: Model, tokenizer: &dyn Tokenizer, added_tokens: Vec<AddedToken>) -> File {
    let tokens = tokenizer.vocab().iter().map(str::to_owned);
    let model = Model { vocab: Entries::Map(tokens.zip(0..).collect()), ..model };
    File {
        version: "1.0".to_owned(),
        truncation: None,
        padding: None,
        added_tokens,
        normalizer: None,
        pre_tokenizer: None,
        post_processor: None,
        decoder: None,
        model,
    }
}

#[derive(Deserialize)]
struct Split {
    pattern: Value,
    behavior: String,
    invert: bool,
}

/// Any one character, line ends too, in every dialect of regular expressions.
const ANY_CHARACTER: &str = r"[\s\S]";

pub(crate) fn chars_from_file(file: File) -> Result<CharTokenizer, TextError> {
    require_model(&file, "WordLevel")?;
    require_no_normalizer(&file)?;
    let split: Split = settings("pre_tokenizer", "Split", file.pre_tokenizer)?;
    let into_chars = split.pattern == json!({ "Regex": ANY_CHARACTER })
        && split.behavior == "Isolated"
        && !split.invert;
    require(into_chars, "pre_tokenizer", "Split by another rule", "Split into characters")?;
    settings::<NoSettings>("decoder", "Fuse", file.decoder)?;
    require_no_template(file.post_processor)?;
    let mut vocab = file.model.vocab.into_vocab()?;
    for token in file.added_tokens {
        vocab.insert(&token.content, token.id)?;
    }
    CharTokenizer::from_vocab(vocab)
}

pub(crate) fn chars_to_file(tokenizer: &CharTokenizer) -> File {
    let model = Model {
        kind: Some("WordLevel".to_owned()),
        unk_token: Some(CharTokenizer::UNKNOWN.into()),
        ..Model::default()
    };
    File {
        pre_tokenizer: Some(json!({
            "type": "Split",
            "pattern": { "Regex": ANY_CHARACTER },
            "behavior": "Isolated",
            "invert": false,
        })),
        decoder: Some(json!({ "type": "Fuse" })),
        ..file(model, tokenizer, Vec::new())
    }
}
