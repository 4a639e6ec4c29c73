//! How a sentence encoder's folder says that the vectors of tokens become one.

use super::settings::{json_problem, read_text};
use crate::Result;
use crate::models::Pooling;
use serde_json::{Map, Value};
use std::path::Path;

/// The poolings by the names that sentence-transformers gives them: as the value of `pooling_mode` and as a
/// switch of its own.
const NAMES: [(&str, &str, Pooling); 4] = [
    ("mean", "pooling_mode_mean_tokens", Pooling::Mean),
    ("cls", "pooling_mode_cls_token", Pooling::Cls),
    ("lasttoken", "pooling_mode_lasttoken", Pooling::LastToken),
    ("max", "pooling_mode_max_tokens", Pooling::Max),
];

/// The pooling in the `config.json` at `path`, of vectors of `dim` entries.
pub(super) fn read_pooling(path: &Path, dim: usize) -> Result<Pooling> {
    let settings = serde_json::from_str(&read_text(path)?).map_err(|error| error.to_string());
    settings
        .and_then(|settings| pooling(settings, dim))
        .map_err(|problem| json_problem(path, problem))
}

fn pooling(mut settings: Map<String, Value>, dim: usize) -> Result<Pooling, String> {
    for name in ["word_embedding_dimension", "embedding_dimension"] {
        let other = settings.remove(name).filter(|value| !value.is_null() && *value != dim);
        if let Some(value) = other {
            return Err(format!(
                "{name} is {value} where the encoder's vectors have {dim} entries"
            ));
        }
    }
    // Whether the tokens of a prompt count; texts get none.
    settings.remove("include_prompt");
    let named = settings.remove("pooling_mode").filter(|value| !value.is_null());
    let mut switched: Vec<Pooling> = Vec::new();
    for (_, switch, pooling) in NAMES {
        let usual = named.is_none() && pooling == Pooling::Mean;
        match settings.remove(switch).filter(|value| !value.is_null()) {
            None if usual => switched.push(pooling),
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => switched.push(pooling),
            Some(other) => return Err(format!("{switch} is {other}, which is no switch")),
        }
    }
    let on = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    if let Some((name, value)) = settings.iter().find(|(_, value)| on(value)) {
        return Err(format!("{name} is {value}; supported are mean, cls, lasttoken and max"));
    }
    if let Some(name) = named {
        let known = NAMES.iter().find(|(known, ..)| name == *known);
        let Some(&(_, switch, pooling)) = known else {
            let problem = "supported are mean, cls, lasttoken and max";
            return Err(format!("pooling_mode is {name}; {problem}"));
        };
        if switched.iter().any(|other| *other != pooling) {
            return Err(format!("pooling_mode is {name}, but another switch than {switch} is on"));
        }
        return Ok(pooling);
    }
    match switched[..] {
        [only] => Ok(only),
        [] => Err("no pooling is switched on".to_string()),
        _ => Err("several poolings are switched on, whose vectors stand side by side; only one is supported; pooling_mode_mean_tokens is on unless it is false".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Pooling, String> {
        pooling(value.as_object().unwrap().clone(), 16)
    }

    #[test]
    fn strings_and_switches_name_the_pooling() {
        for (name, switch, pooling) in NAMES {
            assert_eq!(read(json!({"pooling_mode": name, "embedding_dimension": 16})), Ok(pooling));
            let mut switches = json!({"pooling_mode_mean_tokens": false, "include_prompt": true});
            switches[switch] = true.into();
            assert_eq!(read(switches), Ok(pooling));
        }
        // As sentence-transformers takes a file that says nothing.
        assert_eq!(read(json!({"word_embedding_dimension": 16})), Ok(Pooling::Mean));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (file, named) in [
            (json!({"pooling_mode": "weightedmean"}), "pooling_mode is \"weightedmean\""),
            (json!({"pooling_mode": ["cls"]}), "pooling_mode is [\"cls\"]"),
            (
                json!({"pooling_mode_mean_sqrt_len_tokens": true}),
                "pooling_mode_mean_sqrt_len_tokens",
            ),
            (json!({"pooling_mode_cls_token": true}), "several poolings"),
            (json!({"pooling_mode_cls_token": true, "pooling_mode": "mean"}), "another switch"),
            (json!({"pooling_mode_mean_tokens": false}), "no pooling"),
            (json!({"pooling_mode_mean_tokens": "yes"}), "no switch"),
            (json!({"word_embedding_dimension": 8}), "have 16 entries"),
            (json!({"layer": 3}), "layer is 3"),
        ] {
            let line = read(file).unwrap_err();
            assert!(line.contains(named), "{line}");
        }
    }
}
