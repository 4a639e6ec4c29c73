//! The ZIP archive in a PyTorch file: members that lie in it as they are, so that tensors can be read in place
//! (PKWARE's APPNOTE.TXT).

use super::TorchError;
use flate2::Crc;
use std::collections::HashMap;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const END_LEN: usize = 22;
const LOCATOR_64_LEN: usize = 20;
/// A comment of at most 65,535 bytes may follow the end record.
const MAX_TAIL: usize = END_LEN + 0xffff;
/// What stands in a field whose value is in the zip64 extra field.
const IN_EXTRA: u64 = 0xffff_ffff;
const ZIP64_EXTRA: u16 = 1;

/// A member, stored as it is.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its bytes in the file.
    pub(super) data: Range<usize>,
    checksum: u32,
}

/// An archive over the bytes of a file.
pub(super) struct Archive<'f> {
    file: &'f [u8],
    members: HashMap<String, Member>,
}

fn damaged(problem: &'static str) -> TorchError {
    TorchError::Archive { problem }
}

impl<'f> Archive<'f> {
    pub(super) fn open(file: &'f [u8]) -> Result<Archive<'f>, TorchError> {
        let (mut fields, count) = directory(file)?;
        let mut members = HashMap::new();
        for _ in 0..count {
            if let Some((name, member)) = member(file, &mut fields)?
                && members.insert(name, member).is_some()
            {
                return Err(damaged("two members have the same name"));
            }
        }
        Ok(Archive { file, members })
    }

    /// The folder of the archive that holds all members, with a slash behind it, and its pickle.
    pub(super) fn pickle(&self) -> Option<(String, &Member)> {
        let mut found = self.members.iter().filter_map(|(name, member)| {
            let folder = name.strip_suffix("data.pkl")?;
            (folder.ends_with('/') && folder.matches('/').count() == 1).then_some((folder, member))
        });
        let (folder, member) = found.next()?;
        found.next().is_none().then(|| (folder.to_string(), member))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    pub(super) fn bytes(&self, member: &Member) -> &'f [u8] {
        &self.file[member.data.clone()]
    }

    /// The bytes of a member, if its checksum is theirs.
    pub(super) fn checked(&self, member: &Member) -> Result<&'f [u8], TorchError> {
        let bytes = self.bytes(member);
        let mut crc = Crc::new();
        crc.update(bytes);
        match crc.sum() == member.checksum {
            true => Ok(bytes),
            false => Err(damaged("the checksum of its pickle is another")),
        }
    }
}

/// Where the records of the members begin, and how many there are.
fn directory(file: &[u8]) -> Result<(Fields<'_>, u64), TorchError> {
    let missing = || damaged("it does not end with a directory");
    let last = file.len().checked_sub(END_LEN).ok_or_else(missing)?;
    let first = file.len().saturating_sub(MAX_TAIL);
    let is_end = |at: &usize| {
        let mut fields = Fields(&file[*at..]);
        // The comment may contain anything, so the record counts whose comment ends the file.
        fields.u32() == Some(END)
            && fields.skip(16).and_then(|()| fields.u16()).map(usize::from) == Some(last - at)
    };
    let at = (first..=last).rev().find(is_end).ok_or_else(missing)?;
    let mut end = Fields(&file[at + 10..]);
    let plain = (|| Some((u64::from(end.u16()?), end.skip(4), u64::from(end.u32()?))))();
    let (mut count, _, mut start) = plain.ok_or_else(missing)?;
    let locator = at.checked_sub(LOCATOR_64_LEN).map(|locator| Fields(&file[locator..at]));
    if let Some(mut locator) = locator
        && locator.u32() == Some(LOCATOR_64)
    {
        let large = (|| {
            locator.skip(4)?;
            let mut record = Fields(file.get(usize::try_from(locator.u64()?).ok()?..)?);
            let signature = record.u32()?;
            record.skip(28)?;
            let count = record.u64()?;
            record.skip(8)?;
            (signature == END_64).then_some((count, record.u64()?))
        })();
        (count, start) = large.ok_or_else(|| damaged("its zip64 record is none"))?;
    }
    let records = usize::try_from(start).ok().filter(|start| *start <= at);
    let records = records.ok_or_else(|| damaged("its directory lies outside the file"))?;
    Ok((Fields(&file[records..at]), count))
}

/// The next record of the directory; `None` for a member that is packed or encrypted, which torch.save never
/// does.
fn member(file: &[u8], fields: &mut Fields<'_>) -> Result<Option<(String, Member)>, TorchError> {
    let early = || damaged("its directory ends early");
    let record = (|| {
        let signature = fields.u32()?;
        fields.skip(4)?;
        let (flags, method) = (fields.u16()?, fields.u16()?);
        fields.skip(4)?;
        let checksum = fields.u32()?;
        let (packed, size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
        let [name, extra, comment] = [fields.u16()?, fields.u16()?, fields.u16()?].map(usize::from);
        fields.skip(8)?;
        let start = u64::from(fields.u32()?);
        let (name, extra) = (fields.take(name)?, fields.take(extra)?);
        fields.skip(comment)?;
        (signature == CENTRAL).then_some((
            flags,
            method,
            checksum,
            [size, packed, start],
            name,
            extra,
        ))
    })();
    let (flags, method, checksum, mut sizes, name, extra) = record.ok_or_else(early)?;
    if flags & 1 != 0 || method != 0 {
        return Ok(None);
    }
    let large = zip64(extra);
    let mut large = Fields(large);
    for size in &mut sizes {
        if *size == IN_EXTRA {
            *size = large.u64().ok_or_else(|| damaged("a size is missing"))?;
        }
    }
    let [size, packed, start] = sizes;
    let data = (|| {
        let start = usize::try_from(start).ok()?;
        let mut local = Fields(file.get(start..)?);
        let signature = local.u32()?;
        local.skip(22)?;
        let (name, extra) = (usize::from(local.u16()?), usize::from(local.u16()?));
        let start = start.checked_add(30)?.checked_add(name)?.checked_add(extra)?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        (signature == LOCAL && size == packed && end <= file.len()).then_some(start..end)
    })();
    let data = data.ok_or_else(|| damaged("a member lies outside the file"))?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| damaged("a name is not UTF-8"))?;
    Ok(Some((name, Member { data, checksum })))
}

/// What the zip64 extra field holds.
fn zip64(extra: &[u8]) -> &[u8] {
    let mut fields = Fields(extra);
    while let (Some(id), Some(length)) = (fields.u16(), fields.u16()) {
        let Some(content) = fields.take(length.into()) else { break };
        if id == ZIP64_EXTRA {
            return content;
        }
    }
    &[]
}

/// Little-endian numbers, one after the other.
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    fn take(&mut self, count: usize) -> Option<&'f [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }
}
