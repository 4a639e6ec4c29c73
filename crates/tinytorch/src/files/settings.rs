//! Files of settings: JSON of a size that settings have.

use super::FileError;
use super::sniff::{Foreign, foreign};
use crate::Result;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No configuration of a model comes near this size.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A file of settings.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    // The limit holds while reading: a device or a growing file has no length to trust.
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| FileError::Read { path: path.to_path_buf(), source })?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(json_problem(path, format!("it is larger than {MAX_CONFIG_BYTES} bytes")));
    }
    if let Some(foreign) = foreign(&bytes).filter(|kind| *kind != Foreign::Text) {
        return Err(json_problem(path, foreign.to_string()));
    }
    String::from_utf8(bytes).map_err(|error| json_problem(path, error.to_string()))
}

pub(super) fn json_problem(path: &Path, problem: String) -> crate::Error {
    FileError::Json { path: path.to_path_buf(), problem }.into()
}
