//! Reading ZIP archives, as far as NPZ needs them: stored and deflated members, zip64, checksums
//! (PKWARE's APPNOTE.TXT).

use super::DataError;
use super::source::{Source, inflated_bound, open_file};
use crate::{Error, Result};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

pub(super) const LOCAL: u32 = 0x0403_4b50;
pub(super) const CENTRAL: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const LOCAL_LEN: u64 = 30;
const END_LEN: u64 = 22;
const LOCATOR_64_LEN: u64 = 20;
/// A comment of at most 65,535 bytes may follow the end record.
const MAX_TAIL: u64 = END_LEN + LOCATOR_64_LEN + 0xffff;

trait ReadSeek: Read + Seek + Send {}
impl<R: Read + Seek + Send> ReadSeek for R {}

/// One file in the archive.
struct Member {
    name: String,
    deflated: bool,
    checksum: u32,
    packed: u64,
    size: u64,
    start: u64,
}

/// An open archive whose table of contents has been checked.
pub(super) struct Archive {
    name: String,
    reader: Box<dyn ReadSeek>,
    members: Vec<Member>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive> {
        let (file, len): (File, u64) = open_file(path)?;
        Archive::new(path.display().to_string(), Box::new(file), len)
    }

    pub(super) fn bytes(name: &str, bytes: Vec<u8>) -> Result<Archive> {
        let len = bytes.len() as u64;
        Archive::new(name.to_owned(), Box::new(Cursor::new(bytes)), len)
    }

    fn new(name: String, reader: Box<dyn ReadSeek>, len: u64) -> Result<Archive> {
        let mut archive = Archive { name, reader, members: Vec::new() };
        let directory = archive.directory(len)?;
        let text = archive.read_at(directory.start, directory.len)?;
        let mut record = Record(&text);
        for _ in 0..directory.members {
            let member = central_record(&mut record);
            let member = member.ok_or_else(|| archive.malformed("its directory ends early"))?;
            archive.members.push(archive.checked(member, directory.start)?);
        }
        if !record.0.is_empty() {
            return Err(archive.malformed("its directory holds more than its members"));
        }
        archive.refuse_overlaps()?;
        Ok(archive)
    }

    /// Names in the order of the archive.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|m| m.name.as_str())
    }

    /// The content of the member at `index`; its checksum is verified at its end.
    pub(super) fn member(&mut self, index: usize) -> Result<Source<'_>> {
        let Member { start, packed, size, checksum, deflated, .. } = self.members[index];
        let head = self.read_at(start, LOCAL_LEN)?;
        let mut record = Record(&head);
        let lengths = (|| {
            let signature = record.u32()?;
            record.skip(22)?;
            (signature == LOCAL).then_some((record.u16()?, record.u16()?))
        })();
        let (name_len, extra_len) =
            lengths.ok_or_else(|| self.malformed("a member does not start with its header"))?;
        let data = start + LOCAL_LEN + u64::from(name_len) + u64::from(extra_len);
        self.reader.seek(SeekFrom::Start(data)).map_err(|e| self.read_error(e))?;
        let name = format!("{}: {}", self.name, self.members[index].name);
        let packed = BufReader::with_capacity(1 << 16, (&mut self.reader).take(packed));
        let inner: Box<dyn Read> =
            if deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        let verified = Verified { inner, crc: Crc::new(), checksum };
        Ok(Source::new(name, BufReader::with_capacity(1 << 16, verified), size))
    }

    fn directory(&mut self, len: u64) -> Result<Directory> {
        let tail_start = len.saturating_sub(MAX_TAIL);
        let tail = self.read_at(tail_start, len - tail_start)?;
        let last = tail.len().checked_sub(END_LEN as usize);
        // The comment may contain anything, so the record counts whose comment ends the file.
        let found = last.and_then(|last| {
            (0..=last).rev().find(|&at| {
                let mut record = Record(&tail[at..]);
                record.u32() == Some(END)
                    && u16::from_le_bytes([tail[at + 20], tail[at + 21]]) as usize == last - at
            })
        });
        let at = found.ok_or_else(|| self.malformed("a ZIP archive ends with a directory"))?;
        let end = tail_start + at as u64;
        let mut record = Record(&tail[at + 10..]);
        let plain = (|| {
            let members = u64::from(record.u16()?);
            Some(Directory { members, len: record.u32()?.into(), start: record.u32()?.into() })
        })();
        let mut directory = plain.ok_or_else(|| self.malformed("its end record is too short"))?;
        let mut limit = end;
        if let Some(locator) = at.checked_sub(LOCATOR_64_LEN as usize)
            && let Some((large, place)) = self.directory_64(&tail[locator..at], end)?
        {
            directory = large;
            limit = place;
        }
        match directory.start.checked_add(directory.len) {
            Some(stop) if stop <= limit => Ok(directory),
            _ => Err(self.malformed("its directory lies outside the file")),
        }
    }

    /// The directory as zip64 describes it and where that record lies, if there is a locator.
    fn directory_64(&mut self, locator: &[u8], end: u64) -> Result<Option<(Directory, u64)>> {
        let mut record = Record(locator);
        if record.u32() != Some(LOCATOR_64) {
            return Ok(None);
        }
        record.skip(4);
        let Some(place) = record.u64().filter(|p| p.checked_add(56).is_some_and(|e| e <= end))
        else {
            return Err(self.malformed("its zip64 record lies outside the file"));
        };
        let bytes = self.read_at(place, 56)?;
        let mut record = Record(&bytes);
        let read = (|| {
            let signature = record.u32()?;
            record.skip(28)?;
            let (members, len, start) = (record.u64()?, record.u64()?, record.u64()?);
            (signature == END_64).then_some((Directory { members, len, start }, place))
        })();
        read.map(Some).ok_or_else(|| self.malformed("its zip64 record is damaged"))
    }

    /// A member that can be read without allocating or reading beyond what the file proves.
    fn checked(&self, central: Central, directory: u64) -> Result<Member> {
        let Central { flags, method, member } = central;
        let unsupported = |feature: String| {
            let file = format!("{}: {}", self.name, member.name);
            let remedy = "write it with numpy.savez or numpy.savez_compressed";
            Error::from(DataError::Unsupported { file, feature, remedy })
        };
        if flags & 1 != 0 {
            return Err(unsupported("encryption".into()));
        }
        if method != 0 && method != 8 {
            return Err(unsupported(format!("compression method {method}")));
        }
        let stop = member.start.checked_add(LOCAL_LEN).and_then(|s| s.checked_add(member.packed));
        if stop.is_none_or(|stop| stop > directory) {
            return Err(self.malformed("a member reaches into the directory"));
        }
        let believable = if method == 8 {
            member.size <= inflated_bound(member.packed)
        } else {
            member.size == member.packed
        };
        if !believable {
            let (packed, size) = (member.packed, member.size);
            return Err(self.malformed(&format!("{packed} bytes cannot unpack to {size} bytes")));
        }
        Ok(member)
    }

    /// Members that share bytes are how a small archive unpacks to a huge one.
    fn refuse_overlaps(&self) -> Result<()> {
        let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(self.members.len());
        for m in &self.members {
            ranges.push((m.start, m.start + LOCAL_LEN + m.name.len() as u64 + m.packed));
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(self.malformed("two members overlap"));
        }
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.malformed(&format!("it holds two members named {:?}", twice[0])));
        }
        Ok(())
    }

    /// Callers have checked that the range lies within the file.
    fn read_at(&mut self, start: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        let read = self.reader.seek(SeekFrom::Start(start));
        read.and_then(|_| self.reader.read_exact(&mut bytes)).map_err(|e| self.read_error(e))?;
        Ok(bytes)
    }

    fn malformed(&self, problem: &str) -> Error {
        DataError::Malformed { file: self.name.clone(), problem: problem.to_owned() }.into()
    }

    fn read_error(&self, source: io::Error) -> Error {
        DataError::Io { file: self.name.clone(), source }.into()
    }
}

struct Directory {
    members: u64,
    len: u64,
    start: u64,
}

struct Central {
    flags: u16,
    method: u16,
    member: Member,
}

/// One entry of the directory; `None` if it is cut short.
fn central_record(record: &mut Record<'_>) -> Option<Central> {
    (record.u32()? == CENTRAL).then_some(())?;
    record.skip(4)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.skip(4)?;
    let checksum = record.u32()?;
    let (mut packed, mut size) = (u64::from(record.u32()?), u64::from(record.u32()?));
    let (name_len, extra_len, comment_len) = (record.u16()?, record.u16()?, record.u16()?);
    record.skip(8)?;
    let mut start = u64::from(record.u32()?);
    let name = String::from_utf8_lossy(record.take(name_len.into())?).into_owned();
    let mut extra = Record(record.take(extra_len.into())?);
    record.skip(comment_len.into())?;
    while let (Some(id), Some(len)) = (extra.u16(), extra.u16()) {
        let mut field = Record(extra.take(len.into())?);
        if id == 1 {
            // zip64: only the values that did not fit their 32 bits, in this order.
            for value in [&mut size, &mut packed, &mut start] {
                if *value == u64::from(u32::MAX) {
                    *value = field.u64()?;
                }
            }
        }
    }
    let member = Member { name, deflated: method == 8, checksum, packed, size, start };
    Some(Central { flags, method, member })
}

/// A cursor over little-endian fields.
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Content whose checksum is compared when it ends.
struct Verified<R> {
    inner: R,
    crc: Crc,
    checksum: u32,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.crc.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && self.crc.sum() != self.checksum {
            return Err(io::Error::new(ErrorKind::InvalidData, "its checksum does not match"));
        }
        Ok(n)
    }
}
