//! Bytes that are read at any place: a file or memory.
//!
//! Files are read and not mapped. A mapped file that another program cuts meanwhile ends the process with
//! `SIGBUS`; reading it ends in an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Bytes of known number, which can be read at any place.
#[derive(Debug)]
pub(crate) struct RandomAccess {
    bytes: Bytes,
    length: usize,
}

#[derive(Debug)]
enum Bytes {
    File(Mutex<File>),
    Memory(Vec<u8>),
}

impl RandomAccess {
    pub(crate) fn open(path: &Path) -> io::Result<RandomAccess> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Ok(RandomAccess { bytes: Bytes::File(Mutex::new(file)), length })
    }

    pub(crate) fn memory(bytes: Vec<u8>) -> RandomAccess {
        RandomAccess { length: bytes.len(), bytes: Bytes::Memory(bytes) }
    }

    /// How many bytes there are, or were when the file was opened.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Fills the buffer with the bytes from `start` on.
    ///
    /// # Errors
    /// Of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for bytes that are not there, as of a file
    /// that was cut since it was opened.
    pub(crate) fn read_at(&self, start: usize, buffer: &mut [u8]) -> io::Result<()> {
        match &self.bytes {
            Bytes::File(file) => {
                // A thread that panicked while it held the lock has left a file to seek in.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(start as u64))?;
                file.read_exact(buffer)
            }
            Bytes::Memory(bytes) => {
                let end = start.saturating_add(buffer.len());
                let bytes = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The bytes of a range that lies within [`RandomAccess::length`].
    pub(crate) fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; range.len()];
        self.read_at(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a range, one after the other.
    pub(crate) fn section(&self, range: Range<usize>) -> Section<'_> {
        Section { bytes: self, rest: range }
    }
}

/// A range of bytes that is read from its start to its end.
pub(crate) struct Section<'a> {
    bytes: &'a RandomAccess,
    rest: Range<usize>,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.rest.len());
        self.bytes.read_at(self.rest.start, &mut buffer[..count])?;
        self.rest.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_memory_give_the_same_bytes_and_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let from_file = RandomAccess::open(file.path()).unwrap();
        for bytes in [&from_file, &RandomAccess::memory(b"0123456789".to_vec())] {
            assert_eq!(bytes.length(), 10);
            assert_eq!(bytes.read(3..7).unwrap(), b"3456");
            let mut rest = String::new();
            bytes.section(7..10).read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "789");
            for start in [8, 10, 11, usize::MAX] {
                let error = bytes.read_at(start, &mut [0; 3]).unwrap_err();
                let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        }
        file.as_file().set_len(5).unwrap();
        assert_eq!(from_file.read(3..7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(from_file.read(0..5).unwrap(), b"01234");
    }
}
