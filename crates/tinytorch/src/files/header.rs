//! The header of a safetensors file.

use super::checksum::{self, Checksums};
use super::tensor_info::TensorInfo;
use super::{FileDtype, FormatError};
use crate::tensor::Shape;
use serde::de::{
    Deserialize, Deserializer, Error as _, MapAccess, Visitor, value::StrDeserializer,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Bytes of the header's length, little-endian, at the start of a file.
pub(super) const LENGTH_BYTES: usize = 8;

/// Most bytes a header may have; the limit of the format's own library.
const MAX_HEADER: usize = 100_000_000;

const METADATA: &str = "__metadata__";

/// The table of contents of a file, checked against its length: tensors in the order of their bytes,
/// without holes or overlaps, up to the last byte.
///
/// The format's own library reads the same files, but keeps the last of two equal names, orders
/// metadata differently on every run, and has errors that name no tensor; hence a reader of our own
/// over its element types. Tests hold one against the other.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// What the tensors' bytes are held to, if the file says it; no part of `metadata`.
    pub(super) checksums: Option<Checksums>,
    pub(super) tensors: Vec<(String, TensorInfo)>,
    pub(super) index: HashMap<String, usize>,
    /// Where the tensors' bytes begin.
    pub(super) data_start: usize,
}

impl Header {
    /// Where the header ends in a file of `file` bytes that begins so, as far as the format allows one.
    pub(super) fn end(start: &[u8], file: usize) -> usize {
        let length = start.first_chunk().map(|length| u64::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= MAX_HEADER).unwrap_or(0);
        file.min(LENGTH_BYTES + length)
    }

    /// Reads the first bytes of a file, of `file` bytes in all, up to the header's [end](Header::end).
    pub(super) fn parse(start: &[u8], file: usize) -> Result<Header, FormatError> {
        let Some((length, rest)) = start.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(FormatError::TooShort { bytes: file });
        };
        let claimed = u64::from_le_bytes(*length);
        let length = match usize::try_from(claimed) {
            Ok(length) if length <= MAX_HEADER => length,
            _ => return Err(FormatError::HeaderTooLarge { length: claimed, limit: MAX_HEADER }),
        };
        let Some(json) = rest.get(..length) else {
            let available = rest.len();
            return Err(FormatError::HeaderTruncated { length: claimed, available });
        };
        let data_start = LENGTH_BYTES + length;
        if json.first() != Some(&b'{') {
            return Err(FormatError::Header { detail: "it does not begin with `{`".to_string() });
        }
        let raw: RawHeader = serde_json::from_slice(json)
            .map_err(|error| FormatError::Header { detail: error.to_string() })?;
        let tensors = laid_out(raw.tensors, file - data_start)?;
        let mut index = HashMap::with_capacity(tensors.len());
        for (at, (name, _)) in tensors.iter().enumerate() {
            if index.insert(name.clone(), at).is_some() {
                return Err(FormatError::DuplicateName { tensor: name.clone() });
            }
        }
        let mut metadata = unique(raw.metadata)?;
        let checksums = match metadata.remove(checksum::KEY) {
            None => None,
            Some(text) => {
                let read = checksum::from_metadata(&text, &metadata, &tensors);
                Some(read.ok_or(FormatError::DamagedHeader { entry: checksum::KEY })?)
            }
        };
        Ok(Header { metadata, checksums, tensors, index, data_start })
    }
}

/// The tensors in the order of their bytes, each of the size that its shape needs.
fn laid_out(
    raw: Vec<(String, RawTensor)>,
    data_len: usize,
) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    let mut tensors = Vec::with_capacity(raw.len());
    for (name, raw) in raw {
        let info = raw.check(&name)?;
        tensors.push((name, info));
    }
    tensors.sort_by_key(|(_, info)| (info.range.start, info.range.end));
    let mut end = 0;
    for (at, (name, info)) in tensors.iter().enumerate() {
        let tensor = || name.clone();
        if info.range.start < end {
            return Err(FormatError::Overlap {
                first: tensors[at - 1].0.clone(),
                second: tensor(),
            });
        }
        if info.range.start > end {
            return Err(FormatError::Hole { tensor: tensor(), bytes: info.range.start - end });
        }
        end = info.range.end;
        if end > data_len {
            return Err(FormatError::Truncated { tensor: tensor(), missing: end - data_len });
        }
    }
    match data_len - end {
        0 => Ok(tensors),
        bytes => Err(FormatError::Trailing { bytes }),
    }
}

fn unique(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, FormatError> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.contains_key(&key) {
            return Err(FormatError::DuplicateKey { key });
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// The header as the JSON has it, in its order and with its duplicates.
struct RawHeader {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, RawTensor)>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl RawTensor {
    fn check(self, name: &str) -> Result<TensorInfo, FormatError> {
        let tensor = || name.to_string();
        let spelled = StrDeserializer::<serde::de::value::Error>::new(&self.dtype);
        let Ok(dtype) = FileDtype::deserialize(spelled) else {
            return Err(FormatError::UnknownDtype { tensor: tensor(), dtype: self.dtype });
        };
        let dims: Result<Vec<usize>, _> = self.shape.iter().map(|&d| usize::try_from(d)).collect();
        let shape = dims.ok().and_then(|dims| Shape::new(&dims).ok()).ok_or_else(|| {
            let first = self.shape.iter().copied().take(4).collect();
            FormatError::TooLarge { tensor: tensor(), rank: self.shape.len(), first }
        })?;
        // A shape has at most 2^48 elements and an element 64 bits, so this cannot overflow.
        let bits = shape.len() as u64 * dtype.bitsize() as u64;
        let [begin, end] = self.data_offsets;
        let fits = bits.is_multiple_of(8) && end.checked_sub(begin) == Some(bits / 8);
        match (usize::try_from(begin), usize::try_from(end)) {
            (Ok(start), Ok(end)) if fits => Ok(TensorInfo { dtype, shape, range: start..end }),
            _ => Err(FormatError::Size { tensor: tensor(), dtype, shape, begin, end }),
        }
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut metadata = None;
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let at = |error: A::Error| A::Error::custom(format!("{name:?}: {error}"));
                    if name != METADATA {
                        let tensor = map.next_value().map_err(at)?;
                        tensors.push((name, tensor));
                    } else if metadata.is_none() {
                        metadata = Some(map.next_value::<Pairs>().map_err(at)?.0);
                    } else {
                        return Err(A::Error::duplicate_field(METADATA));
                    }
                }
                Ok(RawHeader { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Strings)
    }
}

/// The bytes before the tensors: length, JSON in the order given, and spaces up to a multiple of 8,
/// so that every tensor begins where its numbers are aligned.
pub(super) fn encode(
    tensors: &[(&str, TensorInfo)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, FormatError> {
    struct Contents<'a>(&'a [(&'a str, TensorInfo)], &'a BTreeMap<String, String>);
    impl Serialize for Contents<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            if !self.1.is_empty() {
                map.serialize_entry(METADATA, self.1)?;
            }
            for (name, info) in self.0 {
                let info = safetensors::tensor::TensorInfo {
                    dtype: info.dtype,
                    shape: info.shape.to_vec(),
                    data_offsets: (info.range.start, info.range.end),
                };
                map.serialize_entry(name, &info)?;
            }
            map.end()
        }
    }
    if tensors.iter().any(|(name, _)| *name == METADATA) {
        return Err(FormatError::ReservedName { tensor: METADATA.to_string() });
    }
    let mut seen = std::collections::HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !seen.insert(*name)) {
        return Err(FormatError::DuplicateName { tensor: name.to_string() });
    }
    let json = serde_json::to_string(&Contents(tensors, metadata))
        .map_err(|error| FormatError::Header { detail: error.to_string() })?;
    let length = json.len().next_multiple_of(LENGTH_BYTES);
    if length > MAX_HEADER {
        return Err(FormatError::HeaderTooLarge { length: length as u64, limit: MAX_HEADER });
    }
    let mut header = (length as u64).to_le_bytes().to_vec();
    header.extend(json.into_bytes());
    header.resize(LENGTH_BYTES + length, b' ');
    Ok(header)
}
