//! Arrays of fixed-size numbers in either byte order, as IDX and NPY hold them.

use super::source::Source;
use crate::tensor::{Element, Shape};
use crate::{Result, Tensor};
use half::f16;
use tinytorch_kernels::os::room;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Elements that are allocated on a header's word; beyond it, memory follows what was really read.
const TRUSTED: usize = 1 << 20;

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    I64,
    F16,
    F32,
    F64,
}

impl Number {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Number::Bool | Number::U8 | Number::I8 => 1,
            Number::U16 | Number::I16 | Number::F16 => 2,
            Number::U32 | Number::I32 | Number::F32 => 4,
            Number::I64 | Number::F64 => 8,
        }
    }

    /// A row-major array from the source: bytes and booleans stay what they are, wider integers become
    /// i64, floats f32.
    pub(super) fn read(self, source: &mut Source<'_>, shape: Shape, big: bool) -> Result<Tensor> {
        source.require("its array", (shape.len() as u64).checked_mul(self.size() as u64))?;
        /// One type's decoder for both byte orders.
        macro_rules! read {
            ($ty:ty, $to:expr) => {
                if big {
                    read(source, shape, |b| $to(<$ty>::from_be_bytes(b)))
                } else {
                    read(source, shape, |b| $to(<$ty>::from_le_bytes(b)))
                }
            };
        }
        match self {
            Number::Bool => read!(u8, |v: u8| v != 0),
            Number::U8 => read!(u8, |v: u8| v),
            Number::I8 => read!(i8, |v: i8| v),
            Number::U16 => read!(u16, i64::from),
            Number::I16 => read!(i16, i64::from),
            Number::U32 => read!(u32, i64::from),
            Number::I32 => read!(i32, i64::from),
            Number::I64 => read!(i64, |v: i64| v),
            Number::F16 => read!(f16, f16::to_f32),
            Number::F32 => read!(f32, |v: f32| v),
            Number::F64 => read!(f64, |v: f64| v as f32),
        }
    }
}

fn read<const N: usize, T: Element>(
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
