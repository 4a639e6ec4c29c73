//! Arrays of fixed-size numbers in either byte order, as IDX and NPY hold them.

use super::source::Source;
use crate::tensor::{Dtype, Element, Shape};
use crate::{Result, Tensor};
use half::f16;
use std::cell::Cell;
use std::fmt;
use tinytorch_kernels::os::room;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Elements that are allocated on a header's word; beyond it, memory follows what was really read.
const TRUSTED: usize = 1 << 20;

/// How a number is stored in a file. More kinds than a [`Tensor`] holds: 16- and 64-bit floats are computed with as
/// 32-bit ones, and integers of other widths as 64-bit ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A truth value, in a byte.
    Bool,
    /// 8 bits without a sign.
    U8,
    /// 8 bits with a sign.
    I8,
    /// 16 bits without a sign.
    U16,
    /// 16 bits with a sign.
    I16,
    /// 32 bits without a sign.
    U32,
    /// 32 bits with a sign.
    I32,
    /// 64 bits without a sign; of these the lower half is held.
    U64,
    /// 64 bits with a sign.
    I64,
    /// A float of 16 bits (IEEE 754 binary16).
    F16,
    /// A float of 32 bits.
    F32,
    /// A float of 64 bits.
    F64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Number::Bool => "bool",
            Number::U8 => "u8",
            Number::I8 => "i8",
            Number::U16 => "u16",
            Number::I16 => "i16",
            Number::U32 => "u32",
            Number::I32 => "i32",
            Number::U64 => "u64",
            Number::I64 => "i64",
            Number::F16 => "f16",
            Number::F32 => "f32",
            Number::F64 => "f64",
        })
    }
}

impl From<Dtype> for Number {
    fn from(dtype: Dtype) -> Number {
        match dtype {
            Dtype::Bool => Number::Bool,
            Dtype::U8 => Number::U8,
            Dtype::I8 => Number::I8,
            Dtype::I32 => Number::I32,
            Dtype::I64 => Number::I64,
            Dtype::F32 => Number::F32,
        }
    }
}

impl Number {
    /// The type in which a tensor holds such numbers to compute with them.
    pub fn held(self) -> Dtype {
        match self {
            Number::Bool => Dtype::Bool,
            Number::U8 => Dtype::U8,
            Number::I8 => Dtype::I8,
            Number::I32 => Dtype::I32,
            Number::U16 | Number::I16 | Number::U32 | Number::U64 | Number::I64 => Dtype::I64,
            Number::F16 | Number::F32 | Number::F64 => Dtype::F32,
        }
    }

    /// The least and largest integer of this kind that a 64-bit one holds; `None` for floats and truth values.
    pub(super) fn range(self) -> Option<(i64, i64)> {
        match self {
            Number::U8 => Some((0, u8::MAX.into())),
            Number::I8 => Some((i8::MIN.into(), i8::MAX.into())),
            Number::U16 => Some((0, u16::MAX.into())),
            Number::I16 => Some((i16::MIN.into(), i16::MAX.into())),
            Number::U32 => Some((0, u32::MAX.into())),
            Number::I32 => Some((i32::MIN.into(), i32::MAX.into())),
            Number::U64 => Some((0, i64::MAX)),
            Number::I64 => Some((i64::MIN, i64::MAX)),
            Number::Bool | Number::F16 | Number::F32 | Number::F64 => None,
        }
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Number::Bool | Number::U8 | Number::I8 => 1,
            Number::U16 | Number::I16 | Number::F16 => 2,
            Number::U32 | Number::I32 | Number::F32 => 4,
            Number::I64 | Number::U64 | Number::F64 => 8,
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
        let beyond = Cell::new(None);
        let tensor = match self {
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
