//! A file as the decoder of messages reads it: all but the data of large tensors, which stays where it is.

use bytes::{Buf, Bytes};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// Bytes of a field from which on they stay in the file. No text that a model needs is as long.
const LARGE: usize = 64 << 10;

/// Fields that stayed in the file.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By the address of what stands for them, which is held here, so that nothing else gets it.
    fields: BTreeMap<usize, (Bytes, Range<u64>)>,
}

impl Kept {
    /// Where in the file the field lies that these bytes stand for; `None` if they are themselves.
    pub(crate) fn range(&self, bytes: &Bytes) -> Option<Range<u64>> {
        self.fields.get(&(bytes.as_ptr() as usize)).map(|(_, range)| range.clone())
    }
}

/// A file, from its first byte to its last.
pub(crate) struct Stream<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// Where in the buffer what comes next begins.
    start: usize,
    /// Where in the file the buffer ends.
    end: u64,
    size: u64,
    kept: Kept,
    problem: Option<io::Error>,
}

impl<'f> Stream<'f> {
    pub(crate) fn new(file: &'f File, size: u64) -> io::Result<Stream<'f>> {
        let (buffer, kept) = (Vec::new(), Kept::default());
        let mut stream = Stream { file, buffer, start: 0, end: 0, size, kept, problem: None };
        stream.fill()?;
        Ok(stream)
    }

    /// What stayed in the file.
    ///
    /// # Errors
    /// What the system said while it was read.
    pub(crate) fn finish(self) -> io::Result<Kept> {
        self.problem.map_or(Ok(self.kept), Err)
    }

    /// Where in the file what comes next begins.
    fn at(&self) -> u64 {
        self.end - (self.buffer.len() - self.start) as u64
    }

    /// Reads on from the end of the buffer.
    fn fill(&mut self) -> io::Result<()> {
        let len = (self.size - self.end).min(BUFFER as u64) as usize;
        self.buffer.resize(len, 0);
        self.start = 0;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.read_exact(&mut self.buffer)?;
        self.end += len as u64;
        Ok(())
    }
}

impl Buf for Stream<'_> {
    fn remaining(&self) -> usize {
        usize::try_from(self.size - self.at()).unwrap_or(usize::MAX)
    }

    fn chunk(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn advance(&mut self, count: usize) {
        let here = self.buffer.len() - self.start;
        if count < here {
            self.start += count;
            return;
        }
        self.end = self.end.saturating_add((count - here) as u64).min(self.size);
        if let Err(problem) = self.fill() {
            // To the decoder it is the end.
            self.buffer.clear();
            (self.start, self.size) = (0, self.end);
            self.problem = Some(problem);
        }
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        if len < LARGE {
            let mut bytes = vec![0; len];
            self.copy_to_slice(&mut bytes);
            return bytes.into();
        }
        let stand_in = Bytes::from(vec![0u8]);
        let start = self.at();
        let field = (stand_in.clone(), start..start + len as u64);
        self.kept.fields.insert(stand_in.as_ptr() as usize, field);
        self.advance(len);
        stand_in
    }
}
