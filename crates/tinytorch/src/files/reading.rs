//! A tensor's bytes on their way out of a file.

use super::{ContentError, FileError, TensorFile, checksum};
use crate::Result;
use crate::files::random_access::Section;
use std::io::{BufReader, ErrorKind, Read};

/// Bytes that are read at once: few beside a model, and many beside the cost of asking the system.
pub(super) const PIECE: usize = 256 << 10;

/// Reads a tensor's bytes in their order, and adds them up if the file says what they should add up to.
pub(super) struct Reading<'a> {
    file: &'a TensorFile,
    name: &'a str,
    bytes: BufReader<Section<'a>>,
    left: usize,
    sum: Option<(crc32fast::Hasher, u32)>,
}

impl TensorFile {
    /// Begins to read a tensor.
    ///
    /// # Errors
    /// [`ContentError::Missing`].
    pub(super) fn reading<'a>(&'a self, name: &'a str) -> Result<Reading<'a>> {
        let section = self.section(name)?;
        let left = self.info(name)?.bytes();
        let bytes = BufReader::with_capacity(PIECE.min(left), section);
        let sum = self.checksum(name).map(|sum| (crc32fast::Hasher::new(), sum));
        Ok(Reading { file: self, name, bytes, left, sum })
    }
}

impl Reading<'_> {
    /// Fills the buffer with the next bytes.
    ///
    /// # Errors
    /// [`ContentError::Cut`] if they are not there, [`FileError::Read`].
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.bytes.read_exact(buffer).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => {
                self.file.problem(ContentError::Cut { tensor: self.name.to_string() })
            }
            _ => FileError::Read { path: self.file.path().to_path_buf(), source }.into(),
        })?;
        self.left = self.left.saturating_sub(buffer.len());
        if let Some((hasher, _)) = &mut self.sum {
            hasher.update(buffer);
        }
        Ok(())
    }

    /// Puts the next bytes into the buffer, [`PIECE`] of them or as many as are left. `false` if there are none.
    ///
    /// # Errors
    /// As [`Reading::fill`].
    pub(super) fn piece(&mut self, buffer: &mut Vec<u8>) -> Result<bool> {
        buffer.resize(PIECE.min(self.left), 0);
        self.fill(buffer)?;
        Ok(!buffer.is_empty())
    }

    /// Gives the rest of the bytes to `take`, piece by piece.
    ///
    /// # Errors
    /// As [`Reading::fill`] and [`Reading::finish`].
    pub(super) fn all(mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let mut piece = Vec::new();
        while self.piece(&mut piece)? {
            take(&piece);
        }
        self.finish()
    }

    /// Compares the sum of what was read, which must have been all.
    ///
    /// # Errors
    /// [`ContentError::Damaged`].
    pub(super) fn finish(self) -> Result<()> {
        let Some((hasher, expected)) = self.sum else { return Ok(()) };
        if hasher.finalize() == expected {
            return Ok(());
        }
        let tensor = self.name.to_string();
        Err(self.file.problem(ContentError::Damaged { tensor, entry: checksum::KEY }))
    }
}
