//! A tensor or int8 weight on its way into a file.

use super::FileDtype;
use crate::Result;
use crate::int8::QWeight;
use crate::tensor::{Dtype, Element, Shape, Tensor};
use half::f16;
use std::borrow::Cow;
use std::io::{self, Write};

/// Something that a file stores as a tensor.
pub(super) struct Entry<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) dtype: FileDtype,
    pub(super) shape: Shape,
    payload: Payload<'a>,
}

enum Payload<'a> {
    Tensor(Tensor),
    Halves(&'a [f16]),
    Rows(&'a QWeight),
}

impl<'a> Entry<'a> {
    pub(super) fn tensor(name: impl Into<Cow<'a, str>>, tensor: &Tensor) -> Result<Entry<'a>> {
        let dtype = file_dtype(tensor.dtype());
        let payload = Payload::Tensor(tensor.contiguous()?);
        Ok(Entry { name: name.into(), dtype, shape: *tensor.shape(), payload })
    }

    /// An int8 weight, in the layer's own order.
    pub(super) fn weight(name: impl Into<Cow<'a, str>>, weight: &'a QWeight) -> Entry<'a> {
        let (dtype, shape) = (FileDtype::I8, weight.shape());
        Entry { name: name.into(), dtype, shape, payload: Payload::Rows(weight) }
    }

    /// 16-bit floats, as many as fill `shape`.
    pub(super) fn halves(
        name: impl Into<Cow<'a, str>>,
        values: &'a [f16],
        shape: Shape,
    ) -> Entry<'a> {
        debug_assert_eq!(values.len(), shape.len());
        let payload = Payload::Halves(values);
        Entry { name: name.into(), dtype: FileDtype::F16, shape, payload }
    }

    /// Bytes that the elements take.
    pub(super) fn bytes(&self) -> usize {
        self.shape.len() * self.dtype.bitsize() / 8
    }

    /// Writes the elements, little-endian, in row-major order.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.payload {
            Payload::Tensor(tensor) => write_tensor(tensor, out),
            Payload::Halves(values) => write_all(values, f16::to_le_bytes, out),
            Payload::Rows(weight) => {
                let mut row = vec![0; self.shape.len() / self.shape[0]];
                (0..self.shape[0]).try_for_each(|i| {
                    weight.row_into(i, &mut row).map_err(io::Error::other)?;
                    write_all(&row, i8::to_le_bytes, out)
                })
            }
        }
    }
}

/// What a file calls a type.
pub(super) fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F32 => FileDtype::F32,
        Dtype::I64 => FileDtype::I64,
        Dtype::U8 => FileDtype::U8,
        Dtype::I8 => FileDtype::I8,
        Dtype::I32 => FileDtype::I32,
        Dtype::Bool => FileDtype::BOOL,
    }
}

fn write_tensor(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    match tensor.dtype() {
        Dtype::F32 => write_elements(tensor, f32::to_le_bytes, out),
        Dtype::I64 => write_elements(tensor, i64::to_le_bytes, out),
        Dtype::U8 => write_elements(tensor, u8::to_le_bytes, out),
        Dtype::I8 => write_elements(tensor, i8::to_le_bytes, out),
        Dtype::I32 => write_elements(tensor, i32::to_le_bytes, out),
        Dtype::Bool => write_elements(tensor, |flag: bool| [u8::from(flag)], out),
    }
}

fn write_elements<T: Element, const N: usize>(
    tensor: &Tensor,
    encode: impl Fn(T) -> [u8; N],
    out: &mut dyn Write,
) -> io::Result<()> {
    // An entry's tensor is contiguous and the caller matched its type, so this cannot fail.
    write_all(tensor.as_slice().map_err(io::Error::other)?, encode, out)
}

/// Writes numbers through a buffer of fixed size, so that saving needs no second copy of a tensor.
fn write_all<T: Copy, const N: usize>(
    values: &[T],
    encode: impl Fn(T) -> [u8; N],
    out: &mut dyn Write,
) -> io::Result<()> {
    const CHUNK: usize = 4096;
    let mut buffer = Vec::with_capacity(CHUNK * N);
    for chunk in values.chunks(CHUNK) {
        buffer.clear();
        chunk.iter().for_each(|&value| buffer.extend_from_slice(&encode(value)));
        out.write_all(&buffer)?;
    }
    Ok(())
}
