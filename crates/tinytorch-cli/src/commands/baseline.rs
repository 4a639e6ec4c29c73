//! What has moved since another audit.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Why a baseline cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub(super) enum BaselineError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no report of an audit: {problem}; name a report.json", path.display())]
    NoReport { path: PathBuf, problem: String },
}

/// The report of another audit.
pub(super) struct Baseline(Value);

impl Baseline {
    pub(super) fn read(path: &Path) -> Result<Baseline, BaselineError> {
        let path = || path.to_path_buf();
        let text =
            std::fs::read(path()).map_err(|source| BaselineError::Read { path: path(), source })?;
        let no_report = |problem: String| BaselineError::NoReport { path: path(), problem };
        let report: Value =
            serde_json::from_slice(&text).map_err(|error| no_report(error.to_string()))?;
        match report.get("models").is_some_and(Value::is_array) {
            true => Ok(Baseline(report)),
            false => Err(no_report("it holds no models".to_string())),
        }
    }

    /// What has moved from it to this report, in lines: results, measurements that differ by more than a
    /// percent of themselves, and models that came or went. Times differ from run to run and are told only
    /// where the result differs.
    pub(super) fn moved(&self, now: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        let (before, after) = (models(&self.0), models(now));
        for model in after {
            let name = text(model, "name");
            match before.iter().find(|other| text(other, "name") == name) {
                None => lines.push(format!("{name}: was not in the baseline")),
                Some(old) => moved_gates(name, old, model, &mut lines),
            }
        }
        for old in before {
            let name = text(old, "name");
            if !after.iter().any(|model| text(model, "name") == name) {
                lines.push(format!("{name}: is only in the baseline"));
            }
        }
        lines
    }

    /// When it was made.
    pub(super) fn date(&self) -> &str {
        self.0.get("date").and_then(Value::as_str).unwrap_or("an unknown date")
    }
}

fn moved_gates(name: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    /// Less is told apart by nobody.
    const SHARE: f64 = 0.01;
    for gate in list(new, "gates") {
        let id = text(gate, "id");
        let Some(before) = list(old, "gates").iter().find(|other| text(other, "id") == id) else {
            lines.push(format!("{name}: {id} is new, {}", text(gate, "result")));
            continue;
        };
        let (was, is) = (text(before, "result"), text(gate, "result"));
        let (from, to) = (number(before, "value"), number(gate, "value"));
        let unit = text(gate, "unit");
        let values = match (from, to) {
            (Some(from), Some(to)) => format!(", {from:.4} to {to:.4} {unit}"),
            _ => String::new(),
        };
        let far = from.zip(to).is_some_and(|(from, to)| (to - from).abs() > SHARE * from.abs());
        if was != is {
            lines.push(format!("{name}: {id} was {was} and is {is}{values}"));
        } else if far && id != "latency" {
            lines.push(format!("{name}: {id}{values}"));
        }
    }
}

fn models(report: &Value) -> &[Value] {
    list(report, "models")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(name: &str, result: &str, value: f64) -> Value {
        let gate = json!({ "id": "output_error", "result": result, "value": value, "unit": "%" });
        let time = json!({ "id": "latency", "result": "pass", "value": 10.0 * value, "unit": "x" });
        json!({ "date": "then", "models": [{ "name": name, "gates": [gate, time] }] })
    }

    #[test]
    fn what_moved_is_told_and_what_did_not_is_not() {
        let baseline = Baseline(report("m", "pass", 0.5));
        assert!(baseline.moved(&report("m", "pass", 0.504)).is_empty());
        assert_eq!(
            baseline.moved(&report("m", "pass", 0.6)),
            ["m: output_error, 0.5000 to 0.6000 %"]
        );
        assert_eq!(
            baseline.moved(&report("m", "fail", 1.5)),
            ["m: output_error was pass and is fail, 0.5000 to 1.5000 %"]
        );
        assert_eq!(
            baseline.moved(&report("n", "pass", 0.5)),
            ["n: was not in the baseline", "m: is only in the baseline"]
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        for text in ["{}", "[", "{\"models\": 3}"] {
            std::fs::write(&path, text).unwrap();
            let error = Baseline::read(&path).err().unwrap().to_string();
            assert!(error.contains("no report of an audit"), "{error}");
        }
        assert!(Baseline::read(&folder.path().join("none")).is_err());
    }
}
