//! Arrays between two processes: a line of JSON that says their types and shapes, then their bytes, little-endian.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use tinytorch::tensor::{Dtype, Shape};
use tinytorch::{Result, Tensor};

/// What NumPy calls the types that are held.
pub(super) const DTYPES: [(&str, Dtype); 6] = [
    ("float32", Dtype::F32),
    ("int64", Dtype::I64),
    ("int32", Dtype::I32),
    ("uint8", Dtype::U8),
    ("int8", Dtype::I8),
    ("bool", Dtype::Bool),
];

/// The type and shape of an array.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
}

/// The arrays as they are written.
pub(super) fn message(arrays: &[Tensor]) -> Result<Vec<u8>> {
    let name = |dtype: Dtype| {
        let found = DTYPES.iter().find(|(_, known)| *known == dtype);
        found.map_or("float32", |(name, _)| name).to_string()
    };
    let headers: Vec<Header> = arrays
        .iter()
        .map(|array| Header { dtype: name(array.dtype()), shape: array.shape().to_vec() })
        .collect();
    // Strings and numbers always make JSON.
    let mut bytes = serde_json::to_vec(&headers).unwrap_or_default();
    bytes.push(b'\n');
    for array in arrays {
        match array.dtype() {
            Dtype::F32 => {
                bytes.extend(array.to_vec::<f32>()?.into_iter().flat_map(f32::to_le_bytes))
            }
            Dtype::I64 => {
                bytes.extend(array.to_vec::<i64>()?.into_iter().flat_map(i64::to_le_bytes))
            }
            Dtype::I32 => {
                bytes.extend(array.to_vec::<i32>()?.into_iter().flat_map(i32::to_le_bytes))
            }
            Dtype::U8 => bytes.extend(array.to_vec::<u8>()?),
            Dtype::I8 => bytes.extend(array.to_vec::<i8>()?.into_iter().map(i8::cast_unsigned)),
            Dtype::Bool => bytes.extend(array.to_vec::<bool>()?.into_iter().map(u8::from)),
        }
    }
    Ok(bytes)
}

/// An array of this type and shape from the bytes that follow.
pub(super) fn array(
    dtype: Dtype,
    shape: &[usize],
    from: &mut impl BufRead,
) -> Result<io::Result<Tensor>> {
    let shape = Shape::new(shape)?;
    Ok(match dtype {
        Dtype::F32 => {
            read(from, shape.len(), f32::from_le_bytes).map(|v| Tensor::from_vec(v, shape))
        }
        Dtype::I64 => {
            read(from, shape.len(), i64::from_le_bytes).map(|v| Tensor::from_vec(v, shape))
        }
        Dtype::I32 => {
            read(from, shape.len(), i32::from_le_bytes).map(|v| Tensor::from_vec(v, shape))
        }
        Dtype::U8 => read(from, shape.len(), u8::from_le_bytes).map(|v| Tensor::from_vec(v, shape)),
        Dtype::I8 => read(from, shape.len(), i8::from_le_bytes).map(|v| Tensor::from_vec(v, shape)),
        Dtype::Bool => {
            read(from, shape.len(), |[byte]: [u8; 1]| byte != 0).map(|v| Tensor::from_vec(v, shape))
        }
    }
    .and_then(|tensor| tensor.map_err(io::Error::other)))
}

fn read<T, const N: usize>(
    from: &mut impl BufRead,
    count: usize,
    value: impl Fn([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    let mut bytes = vec![0; count.saturating_mul(N)];
    from.read_exact(&mut bytes)?;
    let (whole, _) = bytes.as_chunks::<N>();
    Ok(whole.iter().map(|bytes| value(*bytes)).collect())
}

/// Writes a message whole.
pub(super) fn send(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    to.write_all(message)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn arrays_come_back_as_they_were() {
        let arrays = [
            Tensor::from_vec(vec![1.5f32, -2.0], [1, 2]).unwrap(),
            Tensor::from_vec(vec![7i64, -1, 3], [3]).unwrap(),
            Tensor::from_vec(vec![true, false], [2]).unwrap(),
            Tensor::from_vec(vec![-5i8], []).unwrap(),
        ];
        let bytes = message(&arrays).unwrap();
        let mut from = Cursor::new(bytes);
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let headers: Vec<Header> = serde_json::from_str(&line).unwrap();
        assert_eq!(headers[1].dtype, "int64");
        for (header, want) in headers.iter().zip(&arrays) {
            let dtype = DTYPES.iter().find(|(name, _)| *name == header.dtype).unwrap().1;
            let got = array(dtype, &header.shape, &mut from).unwrap().unwrap();
            assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()));
            assert_eq!(message(&[got]).unwrap(), message(std::slice::from_ref(want)).unwrap());
        }
        assert!(array(Dtype::F32, &[1], &mut from).unwrap().is_err(), "there are no more bytes");
    }
}
