//! Tokenizer files.

use super::TextError;
use std::{fs::File, io::Read, path::Path};
use tinytorch_core::replace::replace;

/// Reads a file of at most `limit` bytes and hands them to `parse`; errors name the file.
pub(super) fn read<T>(
    path: &Path,
    limit: u64,
    parse: impl FnOnce(&[u8]) -> Result<T, TextError>,
) -> Result<T, TextError> {
    let named = |source| TextError::InFile { path: path.to_owned(), source: Box::new(source) };
    let mut bytes = Vec::new();
    // The limit holds while reading: a device or a growing file has no length to trust.
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|source| TextError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(named(TextError::TooLarge {
            what: "a tokenizer file (in bytes)",
            size: limit + 1,
            limit,
        }));
    }
    parse(&bytes).map_err(named)
}

/// Writes a file of these bytes, or leaves the one that is there as it was.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TextError> {
    replace(path, |file| file.write_all(bytes))
        .map_err(|source| TextError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_limit_is_read_and_a_larger_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5, |bytes| Ok(bytes.to_vec())).unwrap(), b"12345");
        let error = read(&path, 4, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: a tokenizer file"), "{error}");
        assert!(error.contains("at most 4"), "{error}");
        assert!(matches!(read(folder.path(), 4, |_| Ok(())), Err(TextError::Read { .. })));
    }
}
