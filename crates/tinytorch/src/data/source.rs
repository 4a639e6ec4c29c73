//! A file being read, plain or gzipped, that knows how much can still come out of it.

use super::DataError;
use crate::files::zip::{MAX_INFLATED, inflated_bound};
use crate::tensor::Shape;
use crate::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes to parse, with the name that errors call them by.
pub(super) struct Source<'a> {
    name: String,
    reader: Box<dyn BufRead + 'a>,
    available: u64,
}

pub(super) fn io_error(file: &Path, source: io::Error) -> Error {
    DataError::Io { file: file.display().to_string(), source }.into()
}

/// Opens a regular file; anything else (a folder, a pipe that never ends) is an error.
pub(super) fn open_file(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path).map_err(|e| io_error(path, e))?;
    if !metadata.is_file() {
        return Err(io_error(path, io::Error::new(ErrorKind::InvalidInput, "not a regular file")));
    }
    Ok((File::open(path).map_err(|e| io_error(path, e))?, metadata.len()))
}

impl<'a> Source<'a> {
    /// The content of a file, unpacked if it starts like gzip.
    pub(super) fn open(path: &Path) -> Result<Source<'static>> {
        let (file, len) = open_file(path)?;
        let name = path.display().to_string();
        Source::sniffed(name, BufReader::with_capacity(1 << 16, file), len)
    }

    /// Bytes in memory, unpacked if they start like gzip.
    pub(super) fn bytes(name: &str, bytes: &'a [u8]) -> Result<Source<'a>> {
        Source::sniffed(name.to_owned(), bytes, bytes.len() as u64)
    }

    /// A reader that yields at most `available` bytes.
    pub(super) fn new(name: String, reader: impl BufRead + 'a, available: u64) -> Source<'a> {
        Source { name, reader: Box::new(reader), available }
    }

    fn sniffed(name: String, mut reader: impl BufRead + 'a, len: u64) -> Result<Source<'a>> {
        let start =
            reader.fill_buf().map_err(|source| DataError::Io { file: name.clone(), source })?;
        if start.starts_with(&GZIP_MAGIC) {
            let unpacked = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader));
            return Ok(Source::new(name, unpacked, inflated_bound(len)));
        }
        Ok(Source::new(name, reader, len))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fails unless `needed` more bytes can come.
    pub(super) fn require(&self, what: &'static str, needed: Option<u64>) -> Result<()> {
        match needed {
            Some(needed) if needed <= self.available => Ok(()),
            _ => Err(self.truncated(what, needed.unwrap_or(u64::MAX))),
        }
    }

    /// Fills the buffer.
    pub(super) fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<()> {
        let needed = buffer.len() as u64;
        self.require(what, Some(needed))?;
        self.reader.read_exact(buffer).map_err(|e| self.read_error(what, needed, e))?;
        self.available -= needed;
        Ok(())
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// Bytes up to and including the next line feed, at most `limit`; none at the end.
    pub(super) fn line(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let most = limit.min(self.available);
        let read = self.reader.by_ref().take(most + 1).read_until(b'\n', &mut line);
        let got = read.map_err(|e| self.read_error("a line", most, e))? as u64;
        if got > self.available {
            return Err(DataError::TooLarge { file: self.name.clone(), limit: MAX_INFLATED }.into());
        }
        if got > limit {
            return Err(self.malformed(format!("a line is longer than {limit} bytes")));
        }
        self.available -= got;
        Ok(line)
    }

    /// Whether nothing follows; a gzip or zip checksum is verified on the way.
    pub(super) fn at_end(&mut self) -> Result<bool> {
        match self.reader.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(e) => Err(self.read_error("its last part", 1, e)),
        }
    }

    /// Fails if anything follows what the header announced.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.at_end()? {
            return Ok(());
        }
        Err(self.malformed("more bytes follow than its header announces".into()))
    }

    /// The shape that a header states.
    pub(super) fn shape(&self, dims: &[usize]) -> Result<Shape> {
        Shape::new(dims).map_err(|e| self.malformed(e.to_string()))
    }

    pub(super) fn malformed(&self, problem: String) -> Error {
        DataError::Malformed { file: self.name.clone(), problem }.into()
    }

    pub(super) fn unsupported(&self, feature: String, remedy: &'static str) -> Error {
        DataError::Unsupported { file: self.name.clone(), feature, remedy }.into()
    }

    fn truncated(&self, what: &'static str, needed: u64) -> Error {
        let (file, available) = (self.name.clone(), self.available);
        DataError::Truncated { file, what, needed, available }.into()
    }

    fn read_error(&self, what: &'static str, needed: u64, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.truncated(what, needed),
            ErrorKind::InvalidData | ErrorKind::InvalidInput => self.malformed(error.to_string()),
            _ => DataError::Io { file: self.name.clone(), source: error }.into(),
        }
    }
}
