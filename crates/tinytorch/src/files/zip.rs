//! Reading ZIP archives, as far as NumPy's and PyTorch's files need them: stored and deflated members, zip64,
//! checksums (PKWARE's APPNOTE.TXT).

use super::random_access::{RandomAccess, Section};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::collections::HashSet;
use std::io::{self, BufReader, ErrorKind, Read};
use std::ops::Range;

pub(crate) const LOCAL: u32 = 0x0403_4b50;
pub(crate) const CENTRAL: u32 = 0x0201_4b50;
pub(crate) const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const LOCAL_LEN: usize = 30;
const END_LEN: usize = 22;
const LOCATOR_64_LEN: usize = 20;
/// A comment of at most 65,535 bytes may follow the end record.
const MAX_TAIL: usize = END_LEN + LOCATOR_64_LEN + 0xffff;

/// Largest number of bytes that compressed data may expand to.
pub(crate) const MAX_INFLATED: u64 = 1 << 32;

/// DEFLATE cannot expand further than this (a 258-byte match takes at least two bits), so a header
/// that promises more is found out before anything is allocated.
const MAX_RATIO: u64 = 1032;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipError {
    #[error("{0}")]
    Malformed(String),
    /// A member that is packed in another way or encrypted.
    #[error("{member} uses {feature}")]
    Unsupported { member: String, feature: String },
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn malformed(problem: impl Into<String>) -> ZipError {
    ZipError::Malformed(problem.into())
}

/// Upper bound of what `compressed` bytes of DEFLATE can expand to within the limit.
pub(crate) fn inflated_bound(compressed: u64) -> u64 {
    compressed.saturating_mul(MAX_RATIO).min(MAX_INFLATED)
}

/// One file in the archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes of its content.
    pub(crate) size: u64,
    method: u16,
    is_encrypted: bool,
    checksum: u32,
    packed: u64,
    start: u64,
}

/// The members of an archive, in the order of its table of contents, which has been checked.
pub(crate) fn members(archive: &RandomAccess) -> Result<Vec<Member>, ZipError> {
    let directory = directory(archive)?;
    let text = archive.read(directory.place.clone())?;
    let mut record = Record(&text);
    let mut members = Vec::new();
    for _ in 0..directory.members {
        let member = central_record(&mut record);
        let member = member.ok_or_else(|| malformed("its directory ends early"))?;
        member.check_sizes(directory.place.start)?;
        members.push(member);
    }
    if !record.0.is_empty() {
        return Err(malformed("its directory holds more than its members"));
    }
    refuse_overlaps(&members)?;
    Ok(members)
}

/// Members that share bytes are how a small archive unpacks to a huge one.
fn refuse_overlaps(members: &[Member]) -> Result<(), ZipError> {
    let end = |m: &Member| m.start + LOCAL_LEN as u64 + m.name.len() as u64 + m.packed;
    let mut ranges: Vec<(u64, u64)> = members.iter().map(|m| (m.start, end(m))).collect();
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(malformed("two members overlap"));
    }
    let mut names = HashSet::with_capacity(members.len());
    match members.iter().find(|member| !names.insert(&member.name)) {
        Some(twice) => Err(malformed(format!("it holds two members named {:?}", twice.name))),
        None => Ok(()),
    }
}

impl Member {
    /// Refuses what [`Member::content`] cannot read.
    pub(crate) fn check_readable(&self) -> Result<(), ZipError> {
        let feature = match self.method {
            _ if self.is_encrypted => "encryption".to_string(),
            STORED | DEFLATED => return Ok(()),
            other => format!("compression method {other}"),
        };
        Err(ZipError::Unsupported { member: self.name.clone(), feature })
    }

    /// The content; its checksum is verified at its end.
    pub(crate) fn content<'a>(&self, archive: &'a RandomAccess) -> Result<Content<'a>, ZipError> {
        self.check_readable()?;
        let packed = BufReader::with_capacity(1 << 16, archive.section(self.place(archive)?));
        let inner = match self.method {
            DEFLATED => Inner::Deflated(DeflateDecoder::new(packed)),
            _ => Inner::Stored(packed),
        };
        Ok(Content { inner, crc: Crc::new(), checksum: self.checksum })
    }

    /// Where the content lies in the archive, if it does as it is.
    pub(crate) fn stored(&self, archive: &RandomAccess) -> Result<Range<usize>, ZipError> {
        self.check_readable()?;
        if self.method != STORED {
            let feature = "compression".to_string();
            return Err(ZipError::Unsupported { member: self.name.clone(), feature });
        }
        self.place(archive)
    }

    /// The bytes behind the member's own header, packed as they are.
    fn place(&self, archive: &RandomAccess) -> Result<Range<usize>, ZipError> {
        // The directory was found behind the member, inside the file.
        let start = self.start as usize;
        let head = archive.read(start..start + LOCAL_LEN)?;
        let mut record = Record(&head);
        let lengths = (|| {
            let signature = record.u32()?;
            record.skip(22)?;
            (signature == LOCAL).then_some((record.u16()?, record.u16()?))
        })();
        let (name_len, extra_len) =
            lengths.ok_or_else(|| malformed("a member does not start with its header"))?;
        let data = start + LOCAL_LEN + usize::from(name_len) + usize::from(extra_len);
        let end = data.saturating_add(self.packed as usize);
        if end > archive.length() {
            return Err(malformed("a member reaches outside of the file"));
        }
        Ok(data..end)
    }

    /// Refuses a member that would be read beyond what the file proves.
    fn check_sizes(&self, directory: usize) -> Result<(), ZipError> {
        let stop = self.start.checked_add(LOCAL_LEN as u64);
        let stop = stop.and_then(|stop| stop.checked_add(self.packed));
        if stop.is_none_or(|stop| stop > directory as u64) {
            return Err(malformed("a member reaches into the directory"));
        }
        let is_believable = match self.method {
            STORED => self.size == self.packed,
            DEFLATED => self.size <= inflated_bound(self.packed),
            _ => true,
        };
        if !is_believable {
            let (packed, size) = (self.packed, self.size);
            return Err(malformed(format!("{packed} bytes cannot unpack to {size} bytes")));
        }
        Ok(())
    }
}

struct Directory {
    members: u64,
    place: Range<usize>,
}

impl Directory {
    /// A directory as a record describes it, which lies before `limit`.
    fn new(members: u64, len: u64, start: u64, limit: usize) -> Result<Directory, ZipError> {
        let end = start.checked_add(len).filter(|end| *end <= limit as u64);
        let end = end.ok_or_else(|| malformed("its directory lies outside the file"))?;
        Ok(Directory { members, place: start as usize..end as usize })
    }
}

fn directory(archive: &RandomAccess) -> Result<Directory, ZipError> {
    let tail_start = archive.length().saturating_sub(MAX_TAIL);
    let tail = archive.read(tail_start..archive.length())?;
    let last = tail.len().checked_sub(END_LEN);
    // The comment may contain anything, so the record counts whose comment ends the file.
    let found = last.and_then(|last| {
        (0..=last).rev().find(|&at| {
            let mut record = Record(&tail[at..]);
            record.u32() == Some(END)
                && u16::from_le_bytes([tail[at + 20], tail[at + 21]]) as usize == last - at
        })
    });
    let at = found.ok_or_else(|| malformed("a ZIP archive ends with a directory"))?;
    let end = tail_start + at;
    if let Some(locator) = at.checked_sub(LOCATOR_64_LEN)
        && let Some(large) = directory_64(archive, &tail[locator..at], end)?
    {
        return Ok(large);
    }
    let mut record = Record(&tail[at + 10..]);
    let plain = (|| Some((record.u16()?, record.u32()?, record.u32()?)))();
    let (members, len, start) = plain.ok_or_else(|| malformed("its end record is too short"))?;
    Directory::new(members.into(), len.into(), start.into(), end)
}

/// The directory as zip64 describes it, if there is a locator of that record.
fn directory_64(
    archive: &RandomAccess,
    locator: &[u8],
    end: usize,
) -> Result<Option<Directory>, ZipError> {
    let mut record = Record(locator);
    if record.u32() != Some(LOCATOR_64) {
        return Ok(None);
    }
    record.skip(4);
    let place = record.u64().and_then(|place| usize::try_from(place).ok());
    let Some(place) = place.filter(|place| place.checked_add(56).is_some_and(|e| e <= end)) else {
        return Err(malformed("its zip64 record lies outside the file"));
    };
    let bytes = archive.read(place..place + 56)?;
    let mut record = Record(&bytes);
    let read = (|| {
        let signature = record.u32()?;
        record.skip(28)?;
        let numbers = (record.u64()?, record.u64()?, record.u64()?);
        (signature == END_64).then_some(numbers)
    })();
    let (members, len, start) = read.ok_or_else(|| malformed("its zip64 record is damaged"))?;
    Directory::new(members, len, start, place).map(Some)
}

/// One entry of the directory; `None` if it is cut short.
fn central_record(record: &mut Record<'_>) -> Option<Member> {
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
    let is_encrypted = flags & 1 != 0;
    Some(Member { name, size, method, is_encrypted, checksum, packed, start })
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
pub(crate) struct Content<'a> {
    inner: Inner<'a>,
    crc: Crc,
    checksum: u32,
}

enum Inner<'a> {
    Stored(BufReader<Section<'a>>),
    Deflated(DeflateDecoder<BufReader<Section<'a>>>),
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Inner::Stored(inner) => inner.read(buffer)?,
            Inner::Deflated(inner) => inner.read(buffer)?,
        };
        self.crc.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && self.crc.sum() != self.checksum {
            return Err(io::Error::new(ErrorKind::InvalidData, "its checksum does not match"));
        }
        Ok(n)
    }
}
