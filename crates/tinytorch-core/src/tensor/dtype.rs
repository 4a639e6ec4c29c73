//! Element types.

use super::Storage;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float: everything that is computed with.
    F32,
    /// 64-bit integer: class labels, token ids, sizes.
    I64,
    /// 32-bit integer: indices of other programs' models.
    I32,
    /// Unsigned byte: quantized activations, raw pixels.
    U8,
    /// Signed byte: quantized weights.
    I8,
    /// Truth value: masks, conditions.
    Bool,
}

impl Dtype {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::I64 => 8,
            Dtype::U8 | Dtype::I8 | Dtype::Bool => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::I64 => "i64",
            Dtype::I32 => "i32",
            Dtype::U8 => "u8",
            Dtype::I8 => "i8",
            Dtype::Bool => "bool",
        })
    }
}

/// A tensor's buffer: one storage of one of the element types.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// 32-bit floats.
    F32(Storage<f32>),
    /// 64-bit integers.
    I64(Storage<i64>),
    /// 32-bit integers.
    I32(Storage<i32>),
    /// Unsigned bytes.
    U8(Storage<u8>),
    /// Signed bytes.
    I8(Storage<i8>),
    /// Truth values.
    Bool(Storage<bool>),
}

impl Buffer {
    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        match self {
            Buffer::F32(_) => Dtype::F32,
            Buffer::I64(_) => Dtype::I64,
            Buffer::I32(_) => Dtype::I32,
            Buffer::U8(_) => Dtype::U8,
            Buffer::I8(_) => Dtype::I8,
            Buffer::Bool(_) => Dtype::Bool,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can hold.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialOrd + fmt::Debug + Send + Sync + 'static
{
    /// Its tag.
    const DTYPE: Dtype;
    /// Wraps a storage of this type.
    fn wrap(storage: Storage<Self>) -> Buffer;
    /// The storage, if the buffer holds this type.
    fn unwrap(buffer: &Buffer) -> Option<&Storage<Self>>;
    /// The storage for writing, if the buffer holds this type.
    fn unwrap_mut(buffer: &mut Buffer) -> Option<&mut Storage<Self>>;
    /// Conversion through f64, saturating at the type's limits as `as` does; every number but 0 is true.
    fn from_f64(value: f64) -> Self;
    /// The value as f64; exact but for integers beyond 2^53.
    fn to_f64(self) -> f64;
    /// Conversion from an integer, saturating at the type's limits.
    fn from_i64(value: i64) -> Self;
    /// The value as an integer, without its fraction, saturating at the limits.
    fn to_i64(self) -> i64;
}

macro_rules! element {
    ($ty:ty, $tag:ident, $from:expr, $to:expr, $from_i64:expr, $to_i64:expr) => {
        impl sealed::Sealed for $ty {}
        impl Element for $ty {
            const DTYPE: Dtype = Dtype::$tag;
            fn wrap(storage: Storage<Self>) -> Buffer {
                Buffer::$tag(storage)
            }
            fn unwrap(buffer: &Buffer) -> Option<&Storage<Self>> {
                if let Buffer::$tag(s) = buffer { Some(s) } else { None }
            }
            fn unwrap_mut(buffer: &mut Buffer) -> Option<&mut Storage<Self>> {
                if let Buffer::$tag(s) = buffer { Some(s) } else { None }
            }
            fn from_f64(value: f64) -> Self {
                let from: fn(f64) -> $ty = $from;
                from(value)
            }
            fn to_f64(self) -> f64 {
                let to: fn($ty) -> f64 = $to;
                to(self)
            }
            fn from_i64(value: i64) -> Self {
                let from: fn(i64) -> $ty = $from_i64;
                from(value)
            }
            fn to_i64(self) -> i64 {
                let to: fn($ty) -> i64 = $to_i64;
                to(self)
            }
        }
    };
}

element!(f32, F32, |v| v as f32, f64::from, |v| v as f32, |v| v as i64);
element!(i64, I64, |v| v as i64, |v| v as f64, |v| v, |v| v);
element!(i32, I32, |v| v as i32, f64::from, |v| saturated(v, i32::MIN, i32::MAX), i64::from);
element!(u8, U8, |v| v as u8, f64::from, |v| saturated(v, u8::MIN, u8::MAX), i64::from);
element!(i8, I8, |v| v as i8, f64::from, |v| saturated(v, i8::MIN, i8::MAX), i64::from);
element!(bool, Bool, |v| v != 0.0, |v| f64::from(u8::from(v)), |v| v != 0, i64::from);

fn saturated<T: TryFrom<i64>>(value: i64, min: T, max: T) -> T {
    T::try_from(value).unwrap_or(if value < 0 { min } else { max })
}
