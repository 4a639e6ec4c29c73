use super::TextError;
use std::{
    fs,
    io::{Read, Write},
    path::Path,
};

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> TextError + 'a {
    move |source| TextError::Io { action, path: path.to_owned(), source }
}

/// Reads a file of at most `limit` bytes and hands them to `parse`; errors name the file.
pub(super) fn read<T>(
    path: &Path,
    limit: u64,
    parse: impl FnOnce(&[u8]) -> Result<T, TextError>,
) -> Result<T, TextError> {
    let named = |source| TextError::InFile { path: path.to_owned(), source: Box::new(source) };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed("open", path))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > limit {
        let what = "a tokenizer file (in bytes)";
        return Err(named(TextError::TooLarge { what, size: limit + 1, limit }));
    }
    parse(&bytes).map_err(named)
}

/// Writes a file under a temporary name and renames it, so that no reader sees half of it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TextError> {
    let failed = failed("write", path);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(&failed)?;
    temporary.write_all(bytes).map_err(&failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
