//! Checksums by which damage to a file is seen: CRC-32 as zip and gzip have it, of every tensor's bytes and of
//! what the header says. Any change of one bit, and of up to 32 in a row, changes a CRC-32.
//!
//! The metadata entry `tinytorch_crc32` holds eight hexadecimal digits for the contents of the header, and
//! eight for each tensor in the order of the names: it stays right if another program writes the same tensors and metadata
//! in another order. The first number is over
//!
//! - every other metadata entry, by its key: the key and the value,
//! - every tensor, by its name: the name, the element type as the header spells it, the dimensions and the
//!   checksum of its bytes,
//!
//! where texts and lists follow their length, and every number is 64 bits, little-endian.

use super::tensor_info::TensorInfo;
use crc32fast::Hasher;
use std::collections::BTreeMap;

/// The metadata entry.
pub(super) const KEY: &str = "tinytorch_crc32";

/// Hexadecimal digits of a checksum.
const DIGITS: usize = 8;

/// What a file is held to: the checksum of each tensor, in the order of the names.
pub(super) type Checksums = BTreeMap<String, u32>;

/// The metadata entry of a file with these tensors.
pub(super) fn to_metadata<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a TensorInfo, u32)>,
) -> String {
    let tensors: BTreeMap<&str, (&TensorInfo, u32)> =
        tensors.map(|(name, info, sum)| (name, (info, sum))).collect();
    let contents = of_contents(metadata, &tensors);
    let sums = [contents].into_iter().chain(tensors.values().map(|(_, sum)| *sum));
    sums.map(|sum| format!("{sum:08x}")).collect()
}

/// Reads the metadata entry; `None` if what the header says does not agree with it.
pub(super) fn from_metadata(
    text: &str,
    metadata: &BTreeMap<String, String>,
    tensors: &[(String, TensorInfo)],
) -> Option<Checksums> {
    let (texts, rest) = text.as_bytes().as_chunks::<DIGITS>();
    let sums: Vec<u32> = texts.iter().map(parsed).collect::<Option<_>>()?;
    let (&contents, sums) = sums.split_first()?;
    if !rest.is_empty() || sums.len() != tensors.len() {
        return None;
    }
    let mut by_name: BTreeMap<&str, (&TensorInfo, u32)> =
        tensors.iter().map(|(name, info)| (name.as_str(), (info, 0))).collect();
    by_name.values_mut().zip(sums).for_each(|((_, to), sum)| *to = *sum);
    let agrees = of_contents(metadata, &by_name) == contents;
    agrees.then(|| by_name.into_iter().map(|(name, (_, sum))| (name.to_string(), sum)).collect())
}

fn parsed(digits: &[u8; DIGITS]) -> Option<u32> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = digits.iter().all(is_digit).then(|| str::from_utf8(digits).ok())??;
    u32::from_str_radix(text, 16).ok()
}

fn of_contents(
    metadata: &BTreeMap<String, String>,
    tensors: &BTreeMap<&str, (&TensorInfo, u32)>,
) -> u32 {
    let mut hasher = Hasher::new();
    for (key, value) in metadata.iter().filter(|(key, _)| *key != KEY) {
        add_text(&mut hasher, key);
        add_text(&mut hasher, value);
    }
    for (name, (info, sum)) in tensors {
        add_text(&mut hasher, name);
        add_text(&mut hasher, &info.dtype.to_string());
        add(&mut hasher, info.shape.rank() as u64);
        info.shape.iter().for_each(|&d| add(&mut hasher, d as u64));
        add(&mut hasher, u64::from(*sum));
    }
    hasher.finalize()
}

fn add_text(hasher: &mut Hasher, text: &str) {
    add(hasher, text.len() as u64);
    hasher.update(text.as_bytes());
}

fn add(hasher: &mut Hasher, number: u64) {
    hasher.update(&number.to_le_bytes());
}
