//! Tensors of a file as tensors.

use crate::error::{OnnxError, shown};
use crate::file::{Files, Raw};
use crate::proto::TensorProto;
use half::{bf16, f16};
use tinytorch_core::Tensor;
use tinytorch_core::tensor::{Dtype, Element, Number, Shape};
use tinytorch_kernels::os::room;

/// Numbers of element types, as the format has them.
pub(crate) mod element {
    pub(crate) const F32: i32 = 1;
    pub(crate) const U8: i32 = 2;
    pub(crate) const I8: i32 = 3;
    pub(crate) const U16: i32 = 4;
    pub(crate) const I16: i32 = 5;
    pub(crate) const I32: i32 = 6;
    pub(crate) const I64: i32 = 7;
    pub(crate) const BOOL: i32 = 9;
    pub(crate) const F16: i32 = 10;
    pub(crate) const F64: i32 = 11;
    pub(crate) const U32: i32 = 12;
    pub(crate) const U64: i32 = 13;
    pub(crate) const BF16: i32 = 16;
}

/// The numbers of a type of the format, as files of arrays have them: `bfloat16`, which they do not have, as floats
/// of 32 bits.
pub(crate) fn number(data_type: i32) -> Result<Number, String> {
    match data_type {
        element::F32 | element::BF16 => Ok(Number::F32),
        element::U8 => Ok(Number::U8),
        element::I8 => Ok(Number::I8),
        element::U16 => Ok(Number::U16),
        element::I16 => Ok(Number::I16),
        element::I32 => Ok(Number::I32),
        element::I64 => Ok(Number::I64),
        element::BOOL => Ok(Number::Bool),
        element::F16 => Ok(Number::F16),
        element::F64 => Ok(Number::F64),
        element::U32 => Ok(Number::U32),
        element::U64 => Ok(Number::U64),
        other => Err(format!("values of the type {} are not supported", type_name(other))),
    }
}

/// The number of the type in which floats of a type of the format are held; that of other values.
pub(crate) fn held(data_type: i32) -> i32 {
    match data_type {
        element::F16 | element::F64 | element::BF16 => element::F32,
        other => other,
    }
}

fn of_dtype(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::F32 => element::F32,
        Dtype::I64 => element::I64,
        Dtype::I32 => element::I32,
        Dtype::U8 => element::U8,
        Dtype::I8 => element::I8,
        Dtype::Bool => element::BOOL,
    }
}

/// What the format calls a type.
pub(crate) fn type_name(data_type: i32) -> String {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let known = usize::try_from(data_type).ok().and_then(|at| NAMES.get(at));
    known.map_or_else(|| format!("number {data_type}"), |name| (*name).to_string())
}

/// The shape that dimensions name.
pub(crate) fn shape(dims: &[i64]) -> Result<Shape, String> {
    let sizes = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<usize>>>();
    let sizes = sizes.ok_or_else(|| {
        let some = &dims[..dims.len().min(8)];
        format!("a dimension of {some:?} is negative or too large")
    })?;
    Shape::new(&sizes).map_err(|error| error.to_string())
}

/// A tensor of the file; floats of 16 bits become those of 32.
pub(crate) fn tensor(proto: &TensorProto, files: &mut Files) -> Result<Tensor, OnnxError> {
    read(proto, files).map_err(|problem| match problem {
        Problem::Tensor(problem) => OnnxError::Tensor { tensor: shown(&proto.name), problem },
        Problem::File(error) => error,
    })
}

/// The elements of a tensor of numbers as floats.
pub(crate) fn numbers(proto: &TensorProto, files: &mut Files) -> Result<Vec<f32>, OnnxError> {
    let floats = tensor(proto, files)?.to_dtype::<f32>().and_then(|floats| floats.to_vec());
    floats.map_err(|error| OnnxError::Tensor {
        tensor: shown(&proto.name),
        problem: error.to_string(),
    })
}

/// A tensor as a file holds it.
pub(crate) fn proto(name: &str, tensor: &Tensor) -> tinytorch_core::Result<TensorProto> {
    proto_as(name, tensor, None)
}

/// [`proto`] of integers that the file declared as others than those of 64 bits that they are held in.
pub(crate) fn proto_as(
    name: &str,
    tensor: &Tensor,
    declared: Option<i32>,
) -> tinytorch_core::Result<TensorProto> {
    fn bytes<T: Element, const N: usize>(
        tensor: &Tensor,
        to: impl Fn(T) -> [u8; N],
    ) -> tinytorch_core::Result<Vec<u8>> {
        Ok(tensor.to_vec::<T>()?.into_iter().flat_map(to).collect())
    }
    let declared = declared.filter(|_| tensor.dtype() == Dtype::I64);
    let raw = match tensor.dtype() {
        Dtype::I64 if declared == Some(element::U16) => {
            bytes(tensor, |v: i64| (v as u16).to_le_bytes())?
        }
        Dtype::I64 if declared == Some(element::I16) => {
            bytes(tensor, |v: i64| (v as i16).to_le_bytes())?
        }
        Dtype::I64 if declared == Some(element::U32) => {
            bytes(tensor, |v: i64| (v as u32).to_le_bytes())?
        }
        Dtype::F32 => bytes(tensor, f32::to_le_bytes)?,
        Dtype::I64 => bytes(tensor, i64::to_le_bytes)?,
        Dtype::I32 => bytes(tensor, i32::to_le_bytes)?,
        Dtype::U8 => bytes(tensor, u8::to_le_bytes)?,
        Dtype::I8 => bytes(tensor, i8::to_le_bytes)?,
        Dtype::Bool => bytes(tensor, |value: bool| [u8::from(value)])?,
    };
    Ok(TensorProto {
        name: name.to_string(),
        dims: tensor.shape().iter().map(|&size| size as i64).collect(),
        data_type: declared.unwrap_or_else(|| of_dtype(tensor.dtype())),
        raw_data: raw.into(),
        ..TensorProto::default()
    })
}

enum Problem {
    Tensor(String),
    File(OnnxError),
}

impl From<String> for Problem {
    fn from(problem: String) -> Problem {
        Problem::Tensor(problem)
    }
}

fn read(proto: &TensorProto, files: &mut Files) -> Result<Tensor, Problem> {
    let shape = shape(&proto.dims)?;
    let is_raw = !proto.raw_data.is_empty() || proto.data_location == 1;
    if is_raw {
        let raw = files.raw(proto).map_err(Problem::File)?;
        return Ok(from_raw(proto.data_type, shape, &raw)?);
    }
    let tensor = match proto.data_type {
        element::F32 => listed(shape, &proto.float_data, |v| v)?,
        element::I64 => listed(shape, &proto.int64_data, |v| v)?,
        element::I32 => listed(shape, &proto.int32_data, |v| v)?,
        element::U8 => listed(shape, &proto.int32_data, |v| v as u8)?,
        element::I8 => listed(shape, &proto.int32_data, |v| v as i8)?,
        element::BOOL => listed(shape, &proto.int32_data, |v| v != 0)?,
        element::F16 => listed(shape, &proto.int32_data, |v| f16::from_bits(v as u16).to_f32())?,
        element::BF16 => listed(shape, &proto.int32_data, |v| bf16::from_bits(v as u16).to_f32())?,
        element::F64 => listed(shape, &proto.double_data, nearest)?,
        element::U16 => listed(shape, &proto.int32_data, |v| i64::from(v as u16))?,
        element::I16 => listed(shape, &proto.int32_data, |v| i64::from(v as i16))?,
        element::U32 => listed(shape, &proto.uint64_data, |v| i64::from(v as u32))?,
        element::U64 => without_sign(listed(shape, &proto.uint64_data, |v| v as i64)?)?,
        other => return Err(number(other).err().unwrap_or_default().into()),
    };
    Ok(tensor)
}

fn listed<S: Copy, T: Element>(
    shape: Shape,
    values: &[S],
    f: impl Fn(S) -> T,
) -> Result<Tensor, String> {
    let (got, expected) = (values.len(), shape.len());
    if got != expected {
        return Err(format!("it holds {got} elements where its shape {shape} needs {expected}"));
    }
    Tensor::from_vec(values.iter().map(|&v| f(v)).collect(), shape)
        .map_err(|error| error.to_string())
}

fn from_raw(data_type: i32, shape: Shape, raw: &Raw<'_>) -> Result<Tensor, String> {
    match data_type {
        element::F32 => copied(shape, raw, f32::from_le_bytes),
        element::I64 => copied(shape, raw, i64::from_le_bytes),
        element::I32 => copied(shape, raw, i32::from_le_bytes),
        element::U8 => copied(shape, raw, u8::from_le_bytes),
        element::I8 => copied(shape, raw, i8::from_le_bytes),
        element::BOOL => copied(shape, raw, |[byte]: [u8; 1]| byte != 0),
        element::F16 => copied(shape, raw, |bytes| f16::from_le_bytes(bytes).to_f32()),
        element::BF16 => copied(shape, raw, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        element::F64 => copied(shape, raw, |bytes| nearest(f64::from_le_bytes(bytes))),
        element::U16 => copied(shape, raw, |bytes| i64::from(u16::from_le_bytes(bytes))),
        element::I16 => copied(shape, raw, |bytes| i64::from(i16::from_le_bytes(bytes))),
        element::U32 => copied(shape, raw, |bytes| i64::from(u32::from_le_bytes(bytes))),
        element::U64 => without_sign(copied(shape, raw, i64::from_le_bytes)?),
        other => Err(number(other).err().unwrap_or_default()),
    }
}

/// The nearest float of 32 bits: masks hold the least finite double, which must stay finite.
fn nearest(value: f64) -> f32 {
    let float = value as f32;
    if value.is_finite() { float.clamp(f32::MIN, f32::MAX) } else { float }
}

/// Integers whose bits are those of integers without a sign, which are refused from 2^63 on.
fn without_sign(values: Tensor) -> Result<Tensor, String> {
    let least = values.as_slice::<i64>().map_err(|error| error.to_string())?.iter().min();
    match least {
        Some(..0) => Err("it holds an integer of 2^63 or more, which is not supported".into()),
        _ => Ok(values),
    }
}

fn copied<T: Element, const N: usize>(
    shape: Shape,
    raw: &Raw<'_>,
    from: impl Fn([u8; N]) -> T,
) -> Result<Tensor, String> {
    let bytes = shape.len().saturating_mul(N);
    if raw.len() != bytes as u64 {
        let got = raw.len();
        return Err(format!("it holds {got} bytes where its shape {shape} needs {bytes}"));
    }
    let needed = shape.len().saturating_mul(size_of::<T>());
    room::require("it", needed as u64).map_err(|problem| problem.to_string())?;
    let mut values = Vec::with_capacity(shape.len());
    let read = raw.pieces(|piece| {
        let (elements, _) = piece.as_chunks::<N>();
        values.extend(elements.iter().map(|bytes| from(*bytes)));
    });
    read.map_err(|error| format!("its bytes cannot be read: {error}"))?;
    Tensor::from_vec(values, shape).map_err(|error| error.to_string())
}
