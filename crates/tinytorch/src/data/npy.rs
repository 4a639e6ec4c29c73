//! NPY, NumPy's file of one array: magic, version, a Python dictionary with type, order and shape,
//! then the values (specified in NumPy's `numpy.lib.format`).

use super::DataError;
use super::literal::Literal;
use super::numbers;
use super::source::Source;
use crate::files::replace;
use crate::tensor::{Dtype, Number};
use crate::{Result, Tensor};
use half::f16;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// NumPy itself refuses longer headers unless told to trust the file; a real one takes 128 bytes.
const MAX_HEADER: u32 = 1 << 16;

/// Reads an array: u8, i8 and booleans as they are, wider integers as i64, floats as f32 (f64 is
/// rounded). Versions 1 to 3, C and Fortran order, either byte order; the result is row-major.
///
/// # Errors
/// A [`DataError`](super::DataError) that names the file: it cannot be read, is truncated, has
/// bytes left over, or holds something else than an array of numbers.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Tensor> {
    read(&mut Source::open(path.as_ref())?)
}

/// As [`read_npy`], from bytes in memory that errors call `name`.
///
/// ```
/// use tinytorch::Tensor;
/// use tinytorch::data::{decode_npy, encode_npy};
/// let t = Tensor::arange(6)?.reshape([2, 3])?;
/// let back = decode_npy("t.npy", &encode_npy(&t)?)?;
/// assert_eq!(back.shape(), t.shape());
/// assert_eq!(back.to_vec::<f32>()?, t.to_vec::<f32>()?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`read_npy`].
pub fn decode_npy(name: &str, bytes: &[u8]) -> Result<Tensor> {
    read(&mut Source::bytes(name, bytes)?)
}

/// The bytes of an NPY file with this array, as NumPy writes them: version 1, C order.
///
/// # Errors
/// None in practice, as for [`Tensor::contiguous`].
pub fn encode_npy(t: &Tensor) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128 + t.bytes());
    Encoder::new(t, t.dtype().into())?
        .write(&mut out)
        .map_err(|e| super::source::io_error(Path::new("memory"), e))?;
    Ok(out)
}

/// Writes an array; the file appears whole or not at all.
///
/// # Errors
/// [`FileError::Write`](crate::files::FileError::Write) if it cannot be written; an older file then survives.
pub fn write_npy(path: impl AsRef<Path>, t: &Tensor) -> Result<()> {
    write_npy_as(path, t, t.dtype().into())
}

/// As [`write_npy`], with numbers of another kind that the tensor holds.
///
/// # Errors
/// As [`write_npy`], and [`DataError::NoSuchNumber`] for one that this kind does not have.
pub fn write_npy_as(path: impl AsRef<Path>, t: &Tensor, number: Number) -> Result<()> {
    let encoder = Encoder::new(t, number)?;
    replace(path.as_ref(), |out| encoder.write(out))
}

pub(super) fn read(source: &mut Source<'_>) -> Result<Tensor> {
    let start: [u8; 8] = source.array("its NPY header")?;
    let (magic, version) = (&start[..6], start[6]);
    if magic != MAGIC {
        return Err(source.malformed("an NPY file starts with \\x93NUMPY".into()));
    }
    let len = match version {
        1 => u16::from_le_bytes(source.array("its NPY header")?).into(),
        2 | 3 => u32::from_le_bytes(source.array("its NPY header")?),
        _ => return Err(source.malformed(format!("{version} is not a version of NPY"))),
    };
    if len > MAX_HEADER {
        return Err(source.malformed(format!("its header claims {len} bytes")));
    }
    let mut text = vec![0; len as usize];
    source.fill("its NPY header", &mut text)?;
    let header = str::from_utf8(&text).ok().and_then(Header::parse);
    let Some(header) = header else {
        let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).trim_end().to_owned();
        return Err(source.malformed(format!("its header {shown:?} describes no array")));
    };
    let Some((number, big)) = number(&header.descr) else {
        let feature = format!("the element type {:?}", header.descr);
        let remedy = "save it as float32, int64, uint8 or int8";
        return Err(source.unsupported(feature, remedy));
    };
    let shape = source.shape(&header.shape)?;
    if !header.fortran_order {
        return numbers::read(number, source, shape, big).and_then(|t| finished(source, t));
    }
    let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
    let order: Vec<usize> = (0..shape.rank()).rev().collect();
    let t = numbers::read(number, source, source.shape(&reversed)?, big)?;
    finished(source, t.permute(&order)?.contiguous()?)
}

fn finished(source: &mut Source<'_>, t: Tensor) -> Result<Tensor> {
    source.finish()?;
    Ok(t)
}

/// The meaning of a type string such as `<f4`, and whether its byte order is big-endian.
fn number(descr: &str) -> Option<(Number, bool)> {
    let mut chars = descr.chars();
    let big = match chars.next()? {
        '<' | '|' => false,
        '>' => true,
        _ => return None,
    };
    let number = match chars.as_str() {
        "b1" => Number::Bool,
        "u1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return None,
    };
    Some((number, big))
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &str) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut literal = Literal::new(text);
        literal.expect('{')?;
        while !literal.eat('}') {
            let key = literal.string()?;
            literal.expect(':')?;
            match key {
                // A record type is a list of fields; its text serves the error message.
                "descr" if literal.peek() == Some('[') => {
                    let (fields, _) = literal.rest().split_once(']')?;
                    let descr = format!("{fields}]");
                    return Some(Header { descr, fortran_order: false, shape: Vec::new() });
                }
                "descr" => descr = Some(literal.string()?.to_owned()),
                "fortran_order" => fortran_order = Some(literal.boolean()?),
                "shape" => shape = Some(literal.tuple()?),
                _ => return None,
            }
            if !literal.eat(',') {
                literal.expect('}')?;
                break;
            }
        }
        literal.at_end().then_some(())?;
        Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// A tensor ready to be written.
pub(super) struct Encoder {
    header: Vec<u8>,
    values: Tensor,
    number: Number,
}

impl Encoder {
    /// Of numbers of this kind.
    pub(super) fn new(t: &Tensor, number: Number) -> Result<Encoder> {
        check(t, number)?;
        let descr = match number {
            Number::Bool => "|b1",
            Number::U8 => "|u1",
            Number::I8 => "|i1",
            Number::U16 => "<u2",
            Number::I16 => "<i2",
            Number::U32 => "<u4",
            Number::I32 => "<i4",
            Number::U64 => "<u8",
            Number::I64 => "<i8",
            Number::F16 => "<f2",
            Number::F32 => "<f4",
            Number::F64 => "<f8",
        };
        let dims: Vec<String> = t.shape().iter().map(usize::to_string).collect();
        let shape = match dims.as_slice() {
            [single] => format!("({single},)"),
            dims => format!("({})", dims.join(", ")),
        };
        let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        // The values start at a multiple of 64, after padding and a line feed.
        let len = (MAGIC.len() + 4 + dict.len() + 1).next_multiple_of(64);
        let mut header = [MAGIC.as_slice(), &[1, 0]].concat();
        // At most 8 dimensions of 20 digits, far below 2^16.
        header.extend_from_slice(&((len - 10) as u16).to_le_bytes());
        header.extend_from_slice(dict.as_bytes());
        header.resize(len - 1, b' ');
        header.push(b'\n');
        Ok(Encoder { header, values: t.contiguous()?, number })
    }

    /// Number of bytes that [`Encoder::write`] writes.
    pub(super) fn len(&self) -> u64 {
        (self.header.len() + self.values.len() * self.number.size()) as u64
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.header)?;
        let t = &self.values;
        let floats = || t.as_slice::<f32>();
        let integers = || t.as_slice::<i64>();
        match self.number {
            Number::F16 => write_values(out, floats(), |v| f16::from_f32(v).to_le_bytes()),
            Number::F32 => write_values(out, floats(), f32::to_le_bytes),
            Number::F64 => write_values(out, floats(), |v| f64::from(v).to_le_bytes()),
            // Their range was checked.
            Number::U16 => write_values(out, integers(), |v| (v as u16).to_le_bytes()),
            Number::I16 => write_values(out, integers(), |v| (v as i16).to_le_bytes()),
            Number::U32 => write_values(out, integers(), |v| (v as u32).to_le_bytes()),
            Number::U64 | Number::I64 => write_values(out, integers(), i64::to_le_bytes),
            Number::U8 => write_values(out, t.as_slice::<u8>(), u8::to_le_bytes),
            Number::I8 => write_values(out, t.as_slice::<i8>(), i8::to_le_bytes),
            Number::I32 => write_values(out, t.as_slice::<i32>(), i32::to_le_bytes),
            Number::Bool => write_values(out, t.as_slice::<bool>(), |v| [u8::from(v)]),
        }
    }
}

/// Refuses a tensor whose values are not all of this kind.
fn check(t: &Tensor, number: Number) -> Result<()> {
    let wrong = |value: String| Err(DataError::NoSuchNumber { value, number }.into());
    if t.dtype() != number.held() {
        return wrong(format!("a tensor of {}", t.dtype()));
    }
    let (Dtype::I64, Some((least, most))) = (t.dtype(), number.range()) else { return Ok(()) };
    let values = t.to_vec::<i64>()?;
    match values.iter().find(|value| **value < least || **value > most) {
        Some(value) => wrong(value.to_string()),
        None => Ok(()),
    }
}

fn write_values<T: Copy, const N: usize>(
    out: &mut dyn Write,
    values: Result<&[T]>,
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    for chunk in values.map_err(io::Error::other)?.chunks(1 << 12) {
        let packed: Vec<u8> = chunk.iter().flat_map(|&v| bytes(v)).collect();
        out.write_all(&packed)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
