//! What the program and its engines say to each other: a JSON object a line, on the engine's standard
//! input and output. `peers/protocol.py` is the same for the engines in Python.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// To an engine.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// Get ready to run the case in this file, and forget the one before.
    Prepare(PathBuf),
    /// Run one way of the prepared case for so long.
    Run { variant: String, seconds: f64 },
}

/// From an engine: first `Ready` or `Missing`, then one answer to each request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// The engine runs; what it is, with its version.
    Ready { version: String },
    /// The engine is not installed.
    Missing { package: String, install: String },
    /// The ways in which the engine can run the case.
    Prepared { variants: Vec<Prepared>, refused: Vec<Refused> },
    /// Median time of a call.
    Ran { seconds: f64 },
    /// The request came to nothing.
    Failed { why: String },
}

/// One way to run a case, which the engine has run once.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// `f32`, `int8 static` and the like.
    pub(crate) name: String,
    /// The NPY file of what came out.
    pub(crate) output: PathBuf,
}

/// A way that the engine should have but could not run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_the_engines_in_python_read_and_write() {
        let line = |request| serde_json::to_string(&request).unwrap();
        assert_eq!(line(Request::Prepare("a/case.json".into())), r#"{"prepare":"a/case.json"}"#);
        let run = Request::Run { variant: "f32".into(), seconds: 0.25 };
        assert_eq!(line(run), r#"{"run":{"variant":"f32","seconds":0.25}}"#);
        let reply = r#"{"prepared":{"variants":[{"name":"f32","output":"y.npy"}],"refused":[]}}"#;
        let Ok(Reply::Prepared { variants, .. }) = serde_json::from_str(reply) else {
            panic!("{reply}")
        };
        assert_eq!(variants[0].name, "f32");
    }
}
