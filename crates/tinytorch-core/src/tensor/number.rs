//! How numbers are stored elsewhere.

use super::Dtype;
use std::fmt;

/// How a number is stored in a file. More kinds than a [`Tensor`](super::Tensor) holds: 16- and 64-bit floats are computed with as
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
    pub fn range(self) -> Option<(i64, i64)> {
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
    pub fn size(self) -> usize {
        match self {
            Number::Bool | Number::U8 | Number::I8 => 1,
            Number::U16 | Number::I16 | Number::F16 => 2,
            Number::U32 | Number::I32 | Number::F32 => 4,
            Number::I64 | Number::U64 | Number::F64 => 8,
        }
    }
}
