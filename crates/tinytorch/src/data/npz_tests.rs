//! Zips of NumPy arrays, sound and damaged.

use super::*;
use crate::data::encode_npy;
use flate2::{Compression, write::DeflateEncoder};

fn two() -> Vec<u8> {
    let x = Tensor::arange(1000).unwrap().reshape([10, 100]).unwrap();
    let y = Tensor::from_vec(vec![1i64, 2, 3], [3]).unwrap();
    encode_npz(&[("x", &x), ("y", &y)]).unwrap()
}

fn open_error(bytes: Vec<u8>) -> String {
    Npz::from_bytes("a.npz", bytes).err().unwrap().to_string()
}

/// An archive of one deflated member `z.npy`, its directory entry as given.
fn deflated(packed: &[u8], size: u32, checksum: u32, zip64: bool) -> Vec<u8> {
    let le32 = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let le16 = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut out = le32(&[0x0403_4b50]);
    out.extend(le16(&[20, 0, 8, 0, 0]));
    out.extend(le32(&[checksum, packed.len() as u32, size]));
    out.extend(le16(&[5, 0]));
    out.extend(b"z.npy");
    out.extend(packed);
    let start = out.len() as u32;
    let (stated, extra) = if zip64 {
        let mut extra = le16(&[1, 16]);
        extra.extend(u64::from(size).to_le_bytes());
        extra.extend((packed.len() as u64).to_le_bytes());
        ([u32::MAX, u32::MAX], extra)
    } else {
        ([packed.len() as u32, size], Vec::new())
    };
    out.extend(le32(&[0x0201_4b50]));
    out.extend(le16(&[20, 20, 0, 8, 0, 0]));
    out.extend(le32(&[checksum, stated[0], stated[1]]));
    out.extend(le16(&[5, extra.len() as u16, 0, 0, 0]));
    out.extend(le32(&[0, 0]));
    out.extend(b"z.npy");
    out.extend(extra);
    let len = out.len() as u32 - start;
    if zip64 {
        let record = out.len() as u64;
        out.extend(le32(&[0x0606_4b50, 44, 0]));
        out.extend(le16(&[45, 45]));
        out.extend(le32(&[0, 0]));
        out.extend([1, 1, u64::from(len), u64::from(start)].map(u64::to_le_bytes).concat());
        out.extend(le32(&[0x0706_4b50, 0]));
        out.extend(record.to_le_bytes());
        out.extend(le32(&[1]));
    }
    let (count, places) = if zip64 { (u16::MAX, [u32::MAX; 2]) } else { (1, [len, start]) };
    out.extend(le32(&[0x0605_4b50]));
    out.extend(le16(&[0, 0, count, count]));
    out.extend(le32(&places));
    out.extend(le16(&[3]));
    out.extend(b"end");
    out
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn arrays_come_back_in_any_order_and_repeatedly() {
    let mut file = Npz::from_bytes("a.npz", two()).unwrap();
    assert_eq!(file.read("y").unwrap().to_vec::<i64>().unwrap(), [1, 2, 3]);
    assert_eq!(file.read("x").unwrap().shape().dims(), [10, 100]);
    assert_eq!(file.read("y").unwrap().len(), 3);
    let missing = file.read("z").unwrap_err().to_string();
    assert!(missing.contains("no array \"z\"") && missing.contains("x, y"), "{missing}");
}

#[test]
fn deflated_members_and_zip64_are_read() {
    let npy = encode_npy(&Tensor::arange(5000).unwrap()).unwrap();
    for zip64 in [false, true] {
        let bytes = deflated(&deflate(&npy), npy.len() as u32, crc(&npy), zip64);
        let t = Npz::from_bytes("a.npz", bytes).unwrap().read("z").unwrap();
        assert_eq!(t.to_vec::<f32>().unwrap()[4999], 4999.0);
    }
}

#[test]
fn a_wrong_checksum_or_length_is_an_error() {
    let npy = encode_npy(&Tensor::arange(50).unwrap()).unwrap();
    let packed = deflate(&npy);
    let read = |size: usize, checksum| {
        let bytes = deflated(&packed, size as u32, checksum, false);
        Npz::from_bytes("a.npz", bytes).unwrap().read("z").unwrap_err().to_string()
    };
    let checksum = read(npy.len(), crc(&npy) ^ 1);
    assert!(checksum.contains("a.npz: z.npy") && checksum.contains("checksum"), "{checksum}");
    assert!(read(npy.len() - 1, crc(&npy)).contains("truncated"));
}

#[test]
fn a_bomb_is_refused_before_it_unpacks() {
    // 10 bytes cannot unpack to 4 GB, whatever the directory says.
    assert!(open_error(deflated(&[0; 10], u32::MAX - 1, 0, false)).contains("cannot unpack"));
    // A megabyte of zeros behind an array of one byte.
    let mut npy = encode_npy(&Tensor::from_vec(vec![7u8], [1]).unwrap()).unwrap();
    npy.resize(1 << 20, 0);
    let bytes = deflated(&deflate(&npy), npy.len() as u32, crc(&npy), false);
    let error = Npz::from_bytes("a.npz", bytes).unwrap().read("z").unwrap_err().to_string();
    assert!(error.contains("more bytes follow"), "{error}");
}

#[test]
fn members_that_overlap_or_share_a_name_are_refused() {
    let one = Tensor::arange(3).unwrap();
    let twice = encode_npz(&[("x", &one), ("x", &one)]).unwrap();
    assert!(open_error(twice).contains("two members named"));
    let mut bytes = two();
    let second = bytes.windows(4).rposition(|w| w == [0x50, 0x4b, 1, 2]).unwrap();
    bytes[second + 42..second + 46].fill(0);
    assert!(open_error(bytes).contains("overlap"));
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    for bytes in [vec![], b"PK".to_vec(), vec![0; 100], two()[..500].to_vec()] {
        assert!(open_error(bytes).contains("ends with a directory"));
    }
    let mut encrypted = two();
    let first = encrypted.windows(4).position(|w| w == [0x50, 0x4b, 1, 2]).unwrap();
    encrypted[first + 8] |= 1;
    assert!(open_error(encrypted.clone()).contains("encryption"));
    encrypted[first + 8] &= !1;
    encrypted[first + 10] = 14;
    assert!(open_error(encrypted).contains("compression method 14"));
}
