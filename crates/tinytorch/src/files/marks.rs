//! Which tokens begin and end the texts of a model, as its folder says. They travel as notes in the
//! metadata of whatever is made of the model.

use super::provenance::unusable;
use super::settings::{json_problem, read_text};
use super::{ContentError, Provenance};
use crate::Result;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

const ENDS: &str = "eos_token_id";
const BEGIN: &str = "bos_token_id";
const ADD_BEGIN: &str = "add_bos_token";

/// Which tokens begin and end the texts of a model, as far as its files say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextMarks {
    /// The tokens at which a generated text ends.
    pub ends: Option<Vec<i64>>,
    /// The token that begins a text.
    pub begin: Option<i64>,
    /// Whether texts are to be given that token.
    pub add_begin: Option<bool>,
}

/// A number, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

impl Ids {
    fn list(self) -> Vec<i64> {
        match self {
            Ids::One(id) => vec![id.into()],
            Ids::Several(ids) => ids.into_iter().map(i64::from).collect(),
        }
    }
}

/// The notes that a model from `folder` carries: those of `generation_config.json` before those of
/// `config.json`, and what `tokenizer_config.json` says of the beginning.
pub(super) fn notes(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut notes = BTreeMap::new();
    for (file, keys) in [
        ("generation_config.json", &[ENDS, BEGIN][..]),
        ("config.json", &[ENDS, BEGIN]),
        ("tokenizer_config.json", &[ADD_BEGIN]),
    ] {
        let path = folder.join(file);
        if !path.exists() {
            continue;
        }
        let settings: Map<String, Value> = serde_json::from_str(&read_text(&path)?)
            .map_err(|error| json_problem(&path, error.to_string()))?;
        for &key in keys {
            let Some(value) = settings.get(key).filter(|value| !value.is_null()) else { continue };
            let text = value.to_string();
            check(key, &text).map_err(|problem| json_problem(&path, problem))?;
            notes.entry(key.to_string()).or_insert(text);
        }
    }
    Ok(notes)
}

fn read<T: for<'de> Deserialize<'de>>(key: &str, text: &str, what: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|_| format!("{key} is {text}, where {what} is needed"))
}

fn ends(text: &str) -> Result<Vec<i64>, String> {
    Ok(read::<Ids>(ENDS, text, "the number of a token or a list of them")?.list())
}

fn check(key: &str, text: &str) -> Result<(), String> {
    match key {
        ENDS => ends(text).map(drop),
        BEGIN => read::<u32>(key, text, "the number of a token").map(drop),
        _ => read::<bool>(key, text, "true or false").map(drop),
    }
}

impl Provenance {
    /// Which tokens begin and end the model's texts, if it comes from a folder that says so.
    ///
    /// # Errors
    /// [`ContentError::Metadata`] for an entry that was not written by tinytorch.
    pub fn text_marks(&self) -> Result<TextMarks, ContentError> {
        let problem = |key: &str| {
            let key = key.to_string();
            move |detail: String| unusable(&key, detail)
        };
        let note = |key: &str| self.notes.get(key);
        Ok(TextMarks {
            ends: note(ENDS).map(|text| ends(text)).transpose().map_err(problem(ENDS))?,
            begin: note(BEGIN)
                .map(|text| read::<u32>(BEGIN, text, "the number of a token").map(i64::from))
                .transpose()
                .map_err(problem(BEGIN))?,
            add_begin: note(ADD_BEGIN)
                .map(|text| read(ADD_BEGIN, text, "true or false"))
                .transpose()
                .map_err(problem(ADD_BEGIN))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn marks(files: &[(&str, &str)]) -> Result<TextMarks> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let notes = notes(folder.path())?;
        Ok(Provenance { notes, ..Provenance::default() }.text_marks().unwrap())
    }

    #[test]
    fn generation_settings_come_before_those_of_the_model() {
        let config = ("config.json", r#"{"eos_token_id": 7, "bos_token_id": 1}"#);
        let one = marks(&[config]).unwrap();
        assert_eq!((one.ends, one.begin, one.add_begin), (Some(vec![7]), Some(1), None));
        let generation = ("generation_config.json", r#"{"eos_token_id": [7, 42]}"#);
        let tokenizer = ("tokenizer_config.json", r#"{"add_bos_token": true}"#);
        let all = marks(&[config, generation, tokenizer]).unwrap();
        assert_eq!((all.ends, all.begin), (Some(vec![7, 42]), Some(1)));
        assert_eq!(all.add_begin, Some(true));
        assert_eq!(marks(&[("config.json", r#"{"eos_token_id": null}"#)]).unwrap().ends, None);
    }

    #[test]
    fn what_is_no_token_is_named() {
        for (text, named) in [
            (r#"{"eos_token_id": "</s>"}"#, "eos_token_id is \"</s>\""),
            (r#"{"eos_token_id": [1, -1]}"#, "eos_token_id is [1,-1]"),
            (r#"{"bos_token_id": [1]}"#, "bos_token_id is [1]"),
        ] {
            let line = marks(&[("config.json", text)]).unwrap_err().to_string();
            assert!(line.contains(named) && line.contains("config.json"), "{line}");
        }
    }
}
