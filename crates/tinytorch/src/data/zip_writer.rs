//! Writing ZIP archives of stored members.

use crate::files::zip::{CENTRAL, END, LOCAL};
use flate2::Crc;
use std::io::{self, ErrorKind, Write};

/// Writes an archive of stored members, the same bytes for the same content at any time.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    at: u64,
    directory: Vec<u8>,
    members: u16,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Writer<'a> {
        Writer { out, at: 0, directory: Vec::new(), members: 0 }
    }

    /// Adds a member; `content` is called twice, first for the checksum.
    pub(super) fn add(
        &mut self,
        name: &str,
        size: u64,
        content: impl Fn(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let (size, at) = (fit(size)?, fit(self.at)?);
        let name_len = u16::try_from(name.len()).map_err(io::Error::other)?;
        let mut digest = Digest(Crc::new());
        content(&mut digest)?;
        // Version 2.0, UTF-8 name, stored, 1 January 1980.
        let mut common = [20u16, 0x0800, 0, 0, 0x21].map(u16::to_le_bytes).concat();
        common.extend([digest.0.sum(), size, size].map(u32::to_le_bytes).concat());
        common.extend([name_len, 0].map(u16::to_le_bytes).concat());
        let head = [&LOCAL.to_le_bytes(), common.as_slice(), name.as_bytes()].concat();
        self.out.write_all(&head)?;
        content(self.out)?;
        self.at += head.len() as u64 + u64::from(size);
        self.members = self.members.checked_add(1).ok_or(ErrorKind::InvalidInput)?;
        self.directory.extend([CENTRAL.to_le_bytes().as_slice(), &[20, 0], &common].concat());
        self.directory.extend([0u16; 3].map(u16::to_le_bytes).concat());
        self.directory.extend([0, at].map(u32::to_le_bytes).concat());
        self.directory.extend(name.as_bytes());
        Ok(())
    }

    /// Ends the archive with its directory.
    pub(super) fn finish(self) -> io::Result<()> {
        let start = fit(self.at)?;
        let len = fit(self.directory.len() as u64)?;
        let counts = [0, 0, self.members, self.members].map(u16::to_le_bytes).concat();
        let places = [len, start].map(u32::to_le_bytes).concat();
        let end = [&END.to_le_bytes(), counts.as_slice(), &places, &[0, 0]].concat();
        self.out.write_all(&[self.directory.as_slice(), &end].concat())
    }
}

/// Sizes and places in an archive without zip64 have 32 bits.
fn fit(n: u64) -> io::Result<u32> {
    u32::try_from(n).map_err(|_| io::Error::other("an .npz beyond 4 GiB cannot be written"))
}

struct Digest(Crc);

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
