//! The inputs and outputs of a graph, as its file declares them.

use crate::error::{OnnxError, shown};
use crate::program::{Dim, ValueInfo};
use crate::proto::ValueInfoProto;
use crate::tensor;
use tinytorch_core::tensor::Number;

/// A value whose type and shape nobody asks for.
pub(super) fn open(proto: &ValueInfoProto) -> ValueInfo {
    let (name, number) = (proto.name.clone(), Number::F32);
    ValueInfo { name, number, dtype: number.held(), dims: None }
}

/// A value as it is declared.
///
/// # Errors
/// It is no tensor, of a type that is not read, or has a negative dimension.
pub(super) fn value_info(proto: &ValueInfoProto) -> Result<ValueInfo, OnnxError> {
    let wrong = |problem: String| OnnxError::Tensor { tensor: shown(&proto.name), problem };
    let kind = proto.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let kind = kind.ok_or_else(|| wrong("it is no tensor".into()))?;
    let number = tensor::number(kind.elem_type).map_err(&wrong)?;
    let dims = kind.shape.as_ref().map(|shape| {
        let dim = |dim: &crate::proto::DimensionProto| match (dim.dim_value, &dim.dim_param) {
            (Some(size), _) => usize::try_from(size)
                .map(Dim::Size)
                .map_err(|_| wrong(format!("its dimension {size} is negative"))),
            (None, Some(name)) => Ok(Dim::Open(name.clone())),
            (None, None) => Ok(Dim::Open(String::new())),
        };
        shape.dim.iter().map(dim).collect::<Result<Vec<_>, _>>()
    });
    let (name, dtype) = (proto.name.clone(), number.held());
    Ok(ValueInfo { name, number, dtype, dims: dims.transpose()? })
}
