//! The layout of a `tokenizer.json`.

use super::{Padding, Truncation};
use crate::{AddedToken, TextError, Vocab};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;

/// The largest `tokenizer.json` that is read; those in use stay below 40 MB.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;

/// A `tokenizer.json`, as Hugging Face's `tokenizers` lays it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct File {
    #[serde(default = "version")]
    pub(super) version: String,
    #[serde(default)]
    pub(super) truncation: Option<Truncation>,
    #[serde(default)]
    pub(super) padding: Option<Padding>,
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub(super) normalizer: Option<Value>,
    #[serde(default)]
    pub(super) pre_tokenizer: Option<Value>,
    #[serde(default)]
    pub(super) post_processor: Option<Value>,
    #[serde(default)]
    pub(super) decoder: Option<Value>,
    pub(super) model: Model,
}

fn version() -> String {
    "1.0".to_owned()
}

/// The `model` part: the fields of all models that are read here.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Model {
    /// Absent in files written before 2021.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dropout: Option<f64>,
    pub(super) unk_token: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) continuing_subword_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_input_chars_per_word: Option<usize>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) byte_fallback: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ignore_merges: bool,
    pub(super) vocab: Entries,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) merges: Option<Vec<MergeEntry>>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Model {
    /// The model's type, told from its fields where the file does not say.
    pub(super) fn kind(&self) -> &str {
        match &self.kind {
            Some(kind) => kind,
            None if self.merges.is_some() => "BPE",
            None if self.max_input_chars_per_word.is_some() => "WordPiece",
            None => "not named",
        }
    }
}

/// A merge: a pair, or both parts in one string with a blank between them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum MergeEntry {
    Joined(String),
    Pair(String, String),
}

impl MergeEntry {
    pub(super) fn parts(&self) -> Option<(&str, &str)> {
        match self {
            MergeEntry::Joined(both) => both.split_once(' '),
            MergeEntry::Pair(left, right) => Some((left, right)),
        }
    }
}

/// A vocabulary as it stands in the file. A map type would let the last of two equal tokens win in
/// silence, and would lose the order.
#[derive(Debug)]
pub(super) enum Entries {
    Map(Vec<(String, i64)>),
    /// What Unigram has: a list of scores, which nothing here reads.
    List,
}

impl Default for Entries {
    fn default() -> Entries {
        Entries::Map(Vec::new())
    }
}

impl Entries {
    pub(super) fn into_vocab(self) -> Result<Vocab, TextError> {
        match self {
            Entries::Map(entries) => Vocab::from_entries(entries),
            Entries::List => Err(TextError::not_json("the vocab is a list, not a map".to_owned())),
        }
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Entries::Map(entries) => serializer.collect_map(entries.iter().map(|(t, id)| (t, id))),
            Entries::List => serializer.collect_seq([(); 0]),
        }
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries::Map(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entries::List)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl File {
    pub(crate) fn parse(json: &[u8]) -> Result<File, TextError> {
        let text = crate::utf8(json, "the tokenizer.json")?;
        serde_json::from_str(text).map_err(|error| TextError::not_json(error.to_string()))
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("maps have string keys and memory does not fail")
    }
}

/// The name a component goes by in the file.
pub(super) fn kind_of(component: Option<&Value>) -> &str {
    match component {
        None | Some(Value::Null) => "none",
        Some(value) => value.get("type").and_then(Value::as_str).unwrap_or("without a type"),
    }
}

/// The settings of a component that must be of the one supported kind.
pub(super) fn settings<T: DeserializeOwned>(
    part: &'static str,
    supported: &'static str,
    component: Option<Value>,
) -> Result<T, TextError> {
    let found = kind_of(component.as_ref());
    if found != supported {
        return Err(TextError::unsupported(part, found, supported));
    }
    serde_json::from_value(component.unwrap_or_default())
        .map_err(|error| TextError::not_json(format!("{part} {supported}: {error}")))
}
