//! Constants as the parameters that their uses make them.

use crate::apply::{Held, Use};
use tinytorch_core::autograd::{Param, Role};
use tinytorch_core::ops::Weight;
use tinytorch_core::tensor::{Dtype, Tensor};

/// A constant as the parameter that its uses make it, `None` if it is none.
pub(super) fn held(
    tensor: &Tensor,
    uses: &[Use],
    absent: bool,
) -> tinytorch_core::Result<Option<Held>> {
    if tensor.dtype() != Dtype::F32 {
        return Ok(None);
    }
    let param = |value: Tensor, role: Role| -> tinytorch_core::Result<Param> {
        Ok(match absent {
            true => Param::absent(*value.shape(), role),
            false => Param::new(value.contiguous()?, role),
        })
    };
    let weight = |value: Tensor, role| Ok(Some(Held::Weight(Weight::from(param(value, role)?))));
    let is_table = |how: &Use| *how == Use::Weight(Role::Embedding);
    let multiplies_rows = |how: &Use| *how == Use::Weight(Role::LinearWeight);
    let one = match uses.iter().all(|other| *other == uses[0]) {
        true => Some(uses[0]),
        // A table whose rows are also an output layer's.
        false if uses.iter().all(|how| is_table(how) || multiplies_rows(how)) => {
            Some(Use::Weight(Role::Embedding))
        }
        false => None,
    };
    match one {
        Some(Use::Weight(role)) => weight(tensor.clone(), role),
        Some(Use::Signal { groups }) => weight(tensor.unsqueeze(2)?, Role::ConvWeight { groups }),
        Some(Use::Volume { groups }) => {
            let of_images = tensor.contiguous()?.flatten(1, 2)?;
            weight(of_images, Role::ConvWeight { groups })
        }
        Some(Use::Gates) => weight(tensor.squeeze(0)?, Role::LinearWeight),
        Some(Use::Transposed) => weight(tensor.transpose(0, 1)?, Role::LinearWeight),
        Some(Use::Value) if tensor.len() <= 1 => Ok(None),
        Some(Use::Buffer) => Ok(Some(Held::Param(param(tensor.clone(), Role::Buffer)?))),
        _ => Ok(Some(Held::Param(param(tensor.clone(), Role::Vector)?))),
    }
}
