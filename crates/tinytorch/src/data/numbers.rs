//! Arrays of fixed-size numbers in either byte order, as IDX and NPY hold them.

use super::source::Source;
use crate::tensor::{Element, Number, Shape};
use crate::{Result, Tensor};
use half::f16;
use std::cell::Cell;
use tinytorch_kernels::os::room;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Elements that are allocated on a header's word; beyond it, memory follows what was really read.
const TRUSTED: usize = 1 << 20;

/// A row-major array from the source: bytes and booleans stay what they are, wider integers become
/// i64, floats f32.
pub(super) fn read(
    number: Number,
    source: &mut Source<'_>,
    shape: Shape,
    big: bool,
) -> Result<Tensor> {
    source.require("its array", (shape.len() as u64).checked_mul(number.size() as u64))?;
    /// One type's decoder for both byte orders.
    macro_rules! read {
        ($ty:ty, $to:expr) => {
            if big {
                decoded(source, shape, |b| $to(<$ty>::from_be_bytes(b)))
            } else {
                decoded(source, shape, |b| $to(<$ty>::from_le_bytes(b)))
            }
        };
    }
    let beyond = Cell::new(None);
    let tensor = match number {
        Number::Bool => read!(u8, |v: u8| v != 0),
        Number::U8 => read!(u8, |v: u8| v),
        Number::I8 => read!(i8, |v: i8| v),
        Number::U16 => read!(u16, i64::from),
        Number::I16 => read!(i16, i64::from),
        Number::U32 => read!(u32, i64::from),
        Number::I32 => read!(i32, i64::from),
        Number::I64 => read!(i64, |v: i64| v),
        Number::U64 => read!(u64, |v: u64| i64::try_from(v).unwrap_or_else(|_| {
            beyond.set(Some("integers of 2^63 and more"));
            i64::MAX
        })),
        Number::F16 => read!(f16, f16::to_f32),
        Number::F32 => read!(f32, |v: f32| v),
        Number::F64 => read!(f64, |v: f64| {
            let float = v as f32;
            if float.is_infinite() && v.is_finite() {
                beyond.set(Some("numbers beyond 3.4e38"));
            }
            float
        }),
    }?;
    match beyond.get() {
        Some(feature) => Err(source.unsupported(feature.into(), "scale its numbers first")),
        None => Ok(tensor),
    }
}

fn decoded<const N: usize, T: Element>(
    source: &mut Source<'_>,
    shape: Shape,
    decode: impl Fn([u8; N]) -> T,
) -> Result<Tensor> {
    let len = shape.len();
    let needed = (len as u64).saturating_mul(size_of::<T>() as u64);
    room::require(&format!("the array of {}", source.name()), needed)?;
    let mut values: Vec<T> = Vec::with_capacity(len.min(TRUSTED));
    let mut chunk = vec![0; CHUNK.min(len * N)];
    while values.len() < len {
        let count = (len - values.len()).min(CHUNK / N);
        let bytes = &mut chunk[..count * N];
        source.fill("its array", bytes)?;
        if values.capacity() - values.len() < count {
            values.reserve_exact(values.len().max(count).min(len - values.len()));
        }
        let (numbers, _) = bytes.as_chunks::<N>();
        values.extend(numbers.iter().map(|&b| decode(b)));
    }
    Tensor::from_vec(values, shape)
}
