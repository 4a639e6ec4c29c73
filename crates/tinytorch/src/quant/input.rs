//! How what an int8 weight multiplies is quantized, in the terms of the kernels.

use super::{Activations, Prepared, QuantError, Scheme};
use crate::Result;
use crate::autograd::{Param, Role};
use crate::int8::{Encoding, Int8Weight, QParams};
use crate::tensor::Shape;

/// How the input of a weight is quantized, and the range that calibration gave it.
pub(crate) fn input_of(
    name: &str,
    param: &Param,
    scheme: Scheme,
    prepared: &Prepared,
) -> Result<(Encoding, Option<(f32, f32)>)> {
    // How a table's input is quantized matters where it is an output head too; looking up a row
    // ignores it, and calibration sees no input of a table that is nothing else.
    let seen = prepared.range(name);
    Ok(match scheme.activations() {
        Activations::Float => (Encoding::F32, None),
        Activations::Dynamic16 if takes_16_bits(param.role(), &param.shape()) => {
            (Encoding::PerRow16, None)
        }
        Activations::Dynamic | Activations::Dynamic16 => (Encoding::PerRow, None),
        Activations::Static => match seen {
            Some((min, max)) => (Encoding::Static(QParams::from_range(min, max)?), seen),
            None if param.role() == Role::Embedding => (Encoding::F32, None),
            None => return Err(QuantError::NeverRan { name: name.to_string() }.into()),
        },
    })
}

/// Whether what a weight of this role and shape multiplies may take 16 bits: all but depthwise kernels, whose products are made
/// of 8-bit ones in groups.
pub(super) fn takes_16_bits(role: Role, shape: &Shape) -> bool {
    match role {
        Role::ConvWeight { groups } => groups == 1 || shape[1] > 1,
        _ => matches!(role, Role::LinearWeight | Role::Embedding),
    }
}

/// The range that a weight's input is fixed to.
pub(crate) fn static_range(weight: &Int8Weight) -> Option<(f32, f32)> {
    match weight.input() {
        Encoding::Static(params) => Some((params.dequantize(0), params.dequantize(u8::MAX))),
        _ => None,
    }
}
