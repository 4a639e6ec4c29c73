//! A `config.json`, setting by setting: what nobody asked for must be known to change no numbers.

use super::super::ModelError;
use super::harmless::is_harmless;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Settings that are taken out one by one.
pub(super) struct Settings {
    left: Map<String, Value>,
    /// The setting that these stand below, with a dot behind it.
    inside: String,
}

/// What describes no model of tinytorch's.
pub(super) fn config(problem: String) -> ModelError {
    ModelError::Config { problem }
}

impl Settings {
    /// The settings at the top of a file.
    pub(super) fn of(value: Value) -> Result<Settings, ModelError> {
        Settings::below("", value)
    }

    /// Those of an object that is itself the setting `name`.
    pub(super) fn below(name: &str, value: Value) -> Result<Settings, ModelError> {
        let inside = if name.is_empty() { String::new() } else { format!("{name}.") };
        match value {
            Value::Object(left) => Ok(Settings { left, inside }),
            other => {
                let name = if name.is_empty() { "the file" } else { name };
                Err(config(format!("{name} is {}, where an object is needed", shown(&other))))
            }
        }
    }

    /// Whether a setting is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// The setting as it stands, unless it is not there or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A setting that need not be there.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ModelError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let told = shown(&value);
        match T::deserialize(value) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(config(format!("{}{name} is {told}: {error}", self.inside))),
        }
    }

    /// A setting without which there is no model.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ModelError> {
        let value = self.optional(name)?;
        value.ok_or_else(|| config(format!("there is no {}{name}", self.inside)))
    }

    /// Refuses a setting that is there and has none of these values.
    pub(super) fn expect(&mut self, name: &str, supported: &[Value]) -> Result<(), ModelError> {
        match self.take(name) {
            Some(value) if !supported.contains(&value) => Err(self.unsupported(name, &value)),
            _ => Ok(()),
        }
    }

    pub(super) fn unsupported(&self, name: &str, value: &Value) -> ModelError {
        config(format!("{}{name} is {}, which is not supported", self.inside, shown(value)))
    }

    /// Refuses what is left, unless it is known to change no numbers or says nothing.
    pub(super) fn finish(self) -> Result<(), ModelError> {
        let unknown = |(name, value): &(&String, &Value)| !value.is_null() && !is_harmless(name);
        match self.left.iter().find(unknown) {
            None => Ok(()),
            Some((name, value)) => Err(config(format!(
                "the setting {:?} is {}, and tinytorch does not know what it changes; leave it out if the model is the same without it",
                format!("{}{name}", self.inside),
                shown(value)
            ))),
        }
    }
}

/// The start of a value, enough to know it by.
fn shown(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}..", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(value: Value) -> Settings {
        Settings::of(value).unwrap()
    }

    #[test]
    fn what_nobody_asked_for_is_named_unless_it_is_harmless_or_null() {
        let mut known = settings(json!({"a": 3, "use_cache": true, "foo": null}));
        assert_eq!(known.required::<usize>("a"), Ok(3));
        assert_eq!(known.finish(), Ok(()));
        let unknown = settings(json!({"qk_norm": {"eps": 1}})).finish().unwrap_err().to_string();
        assert!(unknown.contains(r#""qk_norm" is {"eps":1}"#), "{unknown}");
        let inner = Settings::below("rope_scaling", json!({"x": 1})).unwrap().finish();
        assert!(inner.unwrap_err().to_string().contains("\"rope_scaling.x\" is 1"));
    }

    #[test]
    fn values_of_another_kind_are_shown() {
        let fail = |error: ModelError| error.to_string();
        let mut some = settings(json!({"a": -1, "b": "x".repeat(500)}));
        assert!(fail(some.required::<usize>("a").unwrap_err()).contains("a is -1"));
        assert!(fail(some.required::<usize>("none").unwrap_err()).contains("there is no none"));
        assert!(fail(some.expect("b", &["y".into()]).unwrap_err()).len() < 250);
        assert!(Settings::below("rope_scaling", json!(2)).is_err());
    }
}
