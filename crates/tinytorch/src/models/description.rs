//! A model's kind and settings as files hold them: `{"architecture":"mlp","inputs":64,...}`.

use super::{ModelError, Rebuild};
use crate::Result;
use crate::nn::Init;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const KIND: &str = "architecture";

#[derive(Serialize)]
struct Tagged<'a, C> {
    architecture: &'a str,
    #[serde(flatten)]
    config: &'a C,
}

/// The JSON of a kind and its settings, in the order of their declaration.
pub(super) fn write<C: Serialize>(kind: &str, config: &C) -> Result<String> {
    let unusable = |problem| ModelError::Description { kind: kind.to_string(), problem };
    let value = serde_json::to_value(config).map_err(|error| unusable(error.to_string()))?;
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.contains_key(KIND) => {}
        Value::Object(_) => {
            return Err(
                unusable(format!("a field is called {KIND:?}, which names the kind")).into()
            );
        }
        _ => return Err(unusable("they are no struct with named fields".to_string()).into()),
    }
    let tagged = Tagged { architecture: kind, config };
    Ok(serde_json::to_string(&tagged).map_err(|error| unusable(error.to_string()))?)
}

/// The kind in a description, and its settings.
pub(super) fn read(description: &str) -> Result<(String, Map<String, Value>)> {
    let unreadable =
        |problem| ModelError::Description { kind: "unknown kind".to_string(), problem };
    let mut fields: Map<String, Value> =
        serde_json::from_str(description).map_err(|error| unreadable(error.to_string()))?;
    match fields.remove(KIND) {
        Some(Value::String(kind)) => Ok((kind, fields)),
        _ => Err(unreadable(format!("there is no text {KIND:?} that names the kind")).into()),
    }
}

/// Settings of this kind.
pub(super) fn config<C: DeserializeOwned>(kind: &str, fields: Map<String, Value>) -> Result<C> {
    let value = if fields.is_empty() { Value::Null } else { Value::Object(fields) };
    let read = match value {
        // A struct all of whose fields have defaults is written as an object too.
        Value::Null => serde_json::from_value(Value::Null)
            .or_else(|_| serde_json::from_value(Value::Object(Map::new()))),
        object => serde_json::from_value(object),
    };
    let unusable = |error: serde_json::Error| ModelError::Description {
        kind: kind.to_string(),
        problem: error.to_string(),
    };
    Ok(read.map_err(unusable)?)
}

/// The model of type `M` that a description of its kind describes.
///
/// # Errors
/// As [`Kinds::build`](super::Kinds::build), for which `M` is the only kind.
pub(crate) fn build<M: Rebuild>(description: &str, init: &mut Init) -> Result<M> {
    let (kind, fields) = read(description)?;
    if kind != M::NAME {
        return Err(ModelError::UnknownKind { kind, known: M::NAME.to_string() }.into());
    }
    M::build(&config(M::NAME, fields)?, init)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sizes {
        width: usize,
        share: f32,
    }

    #[test]
    fn settings_come_back_in_the_order_of_their_declaration() {
        let sizes = Sizes { width: 8, share: 0.15 };
        let text = write("net", &sizes).unwrap();
        assert_eq!(text, r#"{"architecture":"net","width":8,"share":0.15}"#);
        let (kind, fields) = read(&text).unwrap();
        assert_eq!((kind.as_str(), config::<Sizes>("net", fields).unwrap()), ("net", sizes));
        assert_eq!(write("net", &()).unwrap(), r#"{"architecture":"net"}"#);
        config::<()>("net", read(r#"{"architecture":"net"}"#).unwrap().1).unwrap();
    }

    #[test]
    fn settings_that_no_file_could_hold_are_refused() {
        #[derive(Serialize)]
        struct Taken {
            architecture: usize,
        }
        let taken = write("net", &Taken { architecture: 1 }).unwrap_err().to_string();
        assert!(taken.contains("net") && taken.contains("architecture"), "{taken}");
        assert!(write("net", &3).unwrap_err().to_string().contains("named fields"));
        assert!(read("[1]").is_err() && read(r#"{"width":1}"#).is_err());
        assert!(config::<Sizes>("net", Map::new()).unwrap_err().to_string().contains("width"));
    }
}
