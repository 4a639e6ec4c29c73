//! A damaged file gives an error, or other values, but never a panic and never more memory than the
//! file can account for.

use proptest::prelude::*;
use std::io::Write;
use tinytorch::Tensor;
use tinytorch::data::{
    Npz, decode_cifar10, decode_csv, decode_idx, decode_npy, encode_npy, encode_npz,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx() -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 3][..], &[77; 60]].concat()
}

fn npz() -> Vec<u8> {
    let x = Tensor::arange(12).unwrap().reshape([3, 4]).unwrap();
    let y = Tensor::from_vec(vec![0i64, 1, 2], [3]).unwrap();
    encode_npz(&[("x", &x), ("y", &y)]).unwrap()
}

/// Every reader, with a file that it reads.
fn readers() -> Vec<(&'static str, Vec<u8>)> {
    let npy = encode_npy(&Tensor::arange(12).unwrap().reshape([3, 4]).unwrap()).unwrap();
    vec![
        ("idx", idx()),
        ("idx", gzip(&idx())),
        ("npy", npy),
        ("npz", npz()),
        ("csv", b"a,b,label\n1,2.5,0\n-3,1e4,1\n".to_vec()),
        ("csv", gzip(b"1,2\n3,4\n")),
        ("cifar", gzip(&[3; 3073])),
    ]
}

/// Number of elements that were read; anything wrong is an error.
fn read(format: &str, bytes: &[u8]) -> tinytorch::Result<usize> {
    match format {
        "idx" => Ok(decode_idx("f", bytes)?.len()),
        "npy" => Ok(decode_npy("f", bytes)?.len()),
        "csv" => Ok(decode_csv("f", bytes)?.values.len()),
        "cifar" => Ok(decode_cifar10("f", bytes)?.0.len()),
        _ => {
            let mut file = Npz::from_bytes("f", bytes.to_vec())?;
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            names.iter().map(|name| Ok(file.read(name)?.len())).sum()
        }
    }
}

#[test]
fn the_undamaged_files_are_read() {
    let lengths: Vec<usize> = readers().iter().map(|(f, b)| read(f, b).unwrap()).collect();
    assert_eq!(lengths, [60, 60, 12, 15, 6, 4, 3072]);
}

#[test]
fn every_single_byte_replaced_and_every_truncation() {
    for (format, bytes) in readers() {
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(len) = read(format, &damaged) {
                    assert!(len <= 1032 * bytes.len(), "{len} elements of {format}");
                }
            }
            if let Ok(len) = read(format, &bytes[..at]) {
                // Text may end anywhere; every other format knows its length.
                assert_eq!(format, "csv", "{len} elements of a {format} cut at {at}");
            }
        }
    }
}

#[test]
fn a_damaged_npz_never_gives_other_values() {
    let sound = npz();
    let values = |bytes: Vec<u8>| Npz::from_bytes("f", bytes)?.read("x")?.to_vec::<f32>();
    let expected = values(sound.clone()).unwrap();
    for at in 0..sound.len() {
        for flip in [1, 0x80] {
            let mut damaged = sound.clone();
            damaged[at] ^= flip;
            if let Ok(read) = values(damaged) {
                assert_eq!(read, expected, "byte {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn several_bytes_replaced(
        which in 0usize..7,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let (format, mut bytes) = readers().swap_remove(which);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(format, &bytes);
        let _ = read(format, &bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in ["idx", "npy", "npz", "csv", "cifar"] {
            let _ = read(format, &bytes);
        }
        let _ = read("idx", &[b"\0\0".as_slice(), &bytes].concat());
        let _ = read("npy", &[b"\x93NUMPY\x01\x00\x40\x00".as_slice(), &bytes].concat());
        let _ = read("npz", &[bytes.as_slice(), b"PK\x05\x06", &[0; 18]].concat());
    }
}
