//! A test that measures memory starts this program anew to run only itself, so that nothing else
//! allocates meanwhile, and reads what that process prints.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells the process that it is the child, and which file to measure.
const SUBJECT: &str = "TINYTORCH_TEST_SUBJECT";

const ANSWER: &str = "answer: ";

/// In a child process, the file to measure.
pub(crate) fn asked() -> Option<PathBuf> {
    std::env::var_os(SUBJECT).map(PathBuf::from)
}

/// Tells the parent process what was measured.
pub(crate) fn answer<T: Serialize>(measured: &T) {
    // The test runner has begun a line of its own.
    println!("\n{ANSWER}{}", serde_json::to_string(measured).unwrap());
}

/// Runs `test`, given by its path in this program, in a process of its own on `subject`.
pub(crate) fn ask<T: DeserializeOwned>(test: &str, subject: &Path) -> T {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(SUBJECT, subject)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let answer = out.lines().find_map(|line| line.strip_prefix(ANSWER));
    let answer = answer.unwrap_or_else(|| panic!("{test} did not answer: {out}{err}"));
    serde_json::from_str(answer).unwrap()
}
