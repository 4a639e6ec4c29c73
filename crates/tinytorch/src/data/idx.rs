//! IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions as
//! big-endian u32, the values (described at <https://yann.lecun.com/exdb/mnist/>).

use super::numbers;
use super::source::Source;
use crate::tensor::Number;
use crate::{Result, Tensor};
use std::path::Path;

/// Reads an IDX file, plain or gzipped; u8 and i8 stay, wider integers become i64, floats f32.
///
/// # Errors
/// A [`DataError`](super::DataError) that names the file: it cannot be read, is truncated, has
/// bytes left over, or is not IDX.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Tensor> {
    read(&mut Source::open(path.as_ref())?)
}

/// As [`read_idx`], from bytes in memory that errors call `name`.
///
/// ```
/// use tinytorch::data::decode_idx;
/// let file = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30];
/// let t = decode_idx("pixels", &file)?;
/// assert_eq!(t.shape().dims(), [1, 3]);
/// assert_eq!(t.to_vec::<u8>()?, [10, 20, 30]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`read_idx`].
pub fn decode_idx(name: &str, bytes: &[u8]) -> Result<Tensor> {
    read(&mut Source::bytes(name, bytes)?)
}

fn read(source: &mut Source<'_>) -> Result<Tensor> {
    let [zero, zero_too, kind, rank] = source.array("its IDX header")?;
    if (zero, zero_too) != (0, 0) {
        return Err(source.malformed("an IDX file starts with two zero bytes".into()));
    }
    let number = match kind {
        0x08 => Number::U8,
        0x09 => Number::I8,
        0x0b => Number::I16,
        0x0c => Number::I32,
        0x0d => Number::F32,
        0x0e => Number::F64,
        _ => return Err(source.malformed(format!("0x{kind:02x} is not an IDX element type"))),
    };
    let mut dims = Vec::with_capacity(rank.into());
    for _ in 0..rank {
        dims.push(u32::from_be_bytes(source.array("its IDX dimensions")?) as usize);
    }
    let tensor = numbers::read(number, source, source.shape(&dims)?, true)?;
    source.finish()?;
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    const HEADER: [u8; 12] = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        decode_idx("some.idx", bytes).unwrap_err().to_string()
    }

    #[test]
    fn gzip_is_recognized_by_its_content() {
        let file = [&HEADER[..], &[1, 2, 3, 4, 5, 6]].concat();
        for bytes in [file.clone(), gzip(&file)] {
            let t = decode_idx("x", &bytes).unwrap();
            assert_eq!(t.shape().dims(), [2, 3]);
            assert_eq!(t.to_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn every_element_type_is_big_endian() {
        let one = |kind: u8, value: &[u8]| {
            let bytes = [&[0, 0, kind, 1, 0, 0, 0, 1], value].concat();
            decode_idx("x", &bytes).unwrap()
        };
        assert_eq!(one(0x09, &[0xfe]).to_vec::<i8>().unwrap(), [-2]);
        assert_eq!(one(0x0b, &(-2i16).to_be_bytes()).to_vec::<i64>().unwrap(), [-2]);
        assert_eq!(one(0x0c, &70_000i32.to_be_bytes()).to_vec::<i64>().unwrap(), [70_000]);
        assert_eq!(one(0x0d, &1.5f32.to_be_bytes()).to_vec::<f32>().unwrap(), [1.5]);
        assert_eq!(one(0x0e, &(-0.25f64).to_be_bytes()).to_vec::<f32>().unwrap(), [-0.25]);
    }

    #[test]
    fn damage_is_named() {
        let short = error(&[&HEADER[..], &[1, 2, 3]].concat());
        assert!(short.starts_with("some.idx is truncated") && short.contains("6 bytes"), "{short}");
        let long = error(&[&HEADER[..], &[0; 7]].concat());
        assert!(long.contains("more bytes follow"), "{long}");
        assert!(error(b"PK\x03\x04").contains("two zero bytes"));
        assert!(error(&[0, 0, 7, 1]).contains("0x07"));
        assert!(error(&[]).contains("its IDX header needs 4 bytes"));
        let mut packed = gzip(&[&HEADER[..], &[1; 6]].concat());
        let checksum = packed.len() - 6;
        packed[checksum] ^= 1;
        assert!(error(&packed).contains("damaged"), "{}", error(&packed));
        packed.truncate(packed.len() - 9);
        assert!(error(&packed).contains("truncated"), "{}", error(&packed));
    }

    #[test]
    fn a_header_that_promises_more_than_the_file_can_hold_allocates_nothing() {
        let huge = [0, 0, 8, 2, 0, 1, 0, 0, 0, 1, 0, 0];
        assert!(error(&huge).contains("truncated"));
        assert!(error(&gzip(&huge)).contains("truncated"));
        let beyond = [[0, 0, 14, 3].as_slice(), &[0xff; 12]].concat();
        assert!(error(&beyond).contains("too large"));
    }
}
