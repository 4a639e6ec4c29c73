//! What a file is that is not what it should be, told from its first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// First bytes that are looked at.
pub(super) const LOOKED_AT: usize = 512;

/// A kind of file that is no model of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// What Git holds in place of a large file.
    #[error(
        "it is a pointer of Git LFS and not the file itself; run `git lfs pull`, or download the file from the model's page"
    )]
    LfsPointer,
    /// A page of the web.
    #[error("it is a web page; a link led to a page about the file, so download the file itself")]
    Html,
    /// A file of llama.cpp.
    #[error(
        "it is a GGUF file of llama.cpp, which is not read; use the safetensors files that it was made from"
    )]
    Gguf,
    /// An archive.
    #[error(
        "it is a zip archive and none that torch.save writes; unpack it, and name the model's file"
    )]
    Zip,
    /// Objects of Python.
    #[error(
        "it is a Python pickle, which could run any program; save the tensors with safetensors.torch.save_file"
    )]
    Pickle,
    /// A file of Keras.
    #[error("it is an HDF5 file, as Keras saves; save the tensors as safetensors")]
    Hdf5,
    /// An array.
    #[error("it is an array of NumPy; such files are data, and models are safetensors")]
    Npy,
    /// A packed file.
    #[error("it is packed with gzip; unpack it first")]
    Gzip,
    /// A model in the exchange format.
    #[error(
        "it is an ONNX model, which commands read if its name ends in .onnx, and the int8 model that quantize makes of it is a safetensors file"
    )]
    Onnx,
    /// Text of any kind.
    #[error(
        "it is plain text, where a safetensors file begins with the length of its header; name the model's file"
    )]
    Text,
}

/// The kind of a file that begins so.
pub(crate) fn foreign(start: &[u8]) -> Option<Foreign> {
    let start = &start[..start.len().min(LOOKED_AT)];
    let text = start.trim_ascii_start();
    let begins = |word: &str| {
        text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word.as_bytes()))
    };
    Some(match start {
        _ if start.starts_with(b"version https://git-lfs") => Foreign::LfsPointer,
        _ if begins("<!doctype html") || begins("<html") => Foreign::Html,
        [b'G', b'G', b'U', b'F', ..] => Foreign::Gguf,
        [b'P', b'K', 3, 4, ..] => Foreign::Zip,
        [0x80, 2..=5, ..] => Foreign::Pickle,
        [0x89, b'H', b'D', b'F', ..] => Foreign::Hdf5,
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Foreign::Npy,
        [0x1f, 0x8b, ..] => Foreign::Gzip,
        [8, 1..=20, 0x12 | 0x1a | 0x22 | 0x2a | 0x3a, ..] => Foreign::Onnx,
        _ if is_text(start) => Foreign::Text,
        _ => return None,
    })
}

/// Whether bytes are text, perhaps cut within their last character.
fn is_text(start: &[u8]) -> bool {
    let is_whole_or_cut = match str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let is_shown = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace() || *b >= 0x80;
    !start.is_empty() && start.iter().all(is_shown) && is_whole_or_cut
}

/// [`foreign`] of a file, if it can be read.
pub(crate) fn foreign_file(path: &Path) -> Option<Foreign> {
    let mut start = Vec::new();
    let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
    File::open(path)
        .ok()
        .filter(|_| is_file)?
        .take(LOOKED_AT as u64)
        .read_to_end(&mut start)
        .ok()?;
    foreign(&start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (start, what) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:4d"[..], "Git LFS"),
            (b"<!DOCTYPE html><html><head>", "web page"),
            (b"\n  <HTML>", "web page"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"PK\x03\x04\x14\0", "zip archive"),
            (b"\x80\x02}q\x00.", "pickle"),
            (b"\x80\x04\x95", "pickle"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"\x08\x08\x3a\xe2\x01", "ONNX"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"\x89HDF\r\n", "HDF5"),
            ("not a model, caf\u{e9}".as_bytes(), "plain text"),
        ] {
            let told = foreign(start).unwrap().to_string();
            assert!(told.contains(what), "{told}");
        }
        for start in [&b""[..], b"\x10\0\0\0\0\0\0\0{}", b"\x08\0\0\0\0\0\0\0{}      "] {
            assert_eq!(foreign(start), None);
        }
        let mut cut = vec![b'a'; LOOKED_AT - 1];
        cut.extend("\u{e9}".as_bytes());
        assert_eq!(foreign(&cut), Some(Foreign::Text));
    }
}
