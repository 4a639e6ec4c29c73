//! The recorded values: read, compared, written.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A model's values by the name of the instruction set, then by their own.
pub(crate) type Recorded = BTreeMap<String, BTreeMap<String, Value>>;

/// A digest of the functions of the machine's math library that results depend on. Recorded values say
/// nothing where it is another.
pub(crate) const MATH_LIBRARY: &str = "math library";

fn path(model: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/recorded");
    PathBuf::from(folder).join(format!("{model}.json"))
}

/// What is recorded of a model; nothing if there is no file.
pub(crate) fn read(model: &str) -> Recorded {
    match std::fs::read(path(model)) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Recorded::new(),
        Err(error) => panic!("{model}: {error}"),
    }
}

/// Replaces what is recorded of a model.
pub(crate) fn write(model: &str, recorded: &Recorded) {
    let mut text = serde_json::to_string_pretty(recorded).unwrap();
    text.push('\n');
    std::fs::write(path(model), text).unwrap();
}

/// A line for each value that is not as it was recorded.
pub(crate) fn differences(
    recorded: &BTreeMap<String, Value>,
    got: &BTreeMap<String, Value>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, want) in recorded {
        match got.get(name) {
            None => lines.push(format!("{name}: missing")),
            Some(got) if got == want => (),
            Some(got) => lines.push(format!("{name}: recorded {want}, now {got}")),
        }
    }
    for name in got.keys().filter(|name| !recorded.contains_key(*name)) {
        lines.push(format!("{name}: not recorded"));
    }
    lines
}

#[test]
fn every_difference_is_named() {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| (k.to_string(), Value::from(*v))).collect::<BTreeMap<_, _>>()
    };
    let recorded = map(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert!(differences(&recorded, &recorded).is_empty());
    let got = map(&[("a", "1"), ("b", "4"), ("d", "5")]);
    let lines = differences(&recorded, &got);
    assert_eq!(lines, ["b: recorded \"2\", now \"4\"", "c: missing", "d: not recorded"]);
}
