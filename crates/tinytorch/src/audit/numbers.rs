//! Whether the models that are judged hold numbers.

use super::{AuditError, Subject};
use crate::Result;
use crate::autograd::Stored;
use crate::models::Model;
use crate::tensor::{Dtype, Tensor};

/// Refuses models of which a float parameter holds NaN: their outputs are no numbers either, if they run at all,
/// and the layer that notices first is another than the one at fault.
///
/// # Errors
/// [`AuditError::NotANumber`], which names the parameter.
pub(super) fn check(subject: &Subject) -> Result<()> {
    of_model("float", &*subject.float)?;
    of_model("int8", &*subject.int8)
}

/// Refuses outputs of the float model that are no numbers.
///
/// # Errors
/// [`AuditError::NotFinite`], which names the output and the sample.
pub(super) fn check_outputs(outputs: &[Tensor], names: &[String]) -> Result<()> {
    for (tensor, name) in outputs.iter().zip(names) {
        if tensor.dtype() != Dtype::F32 {
            continue;
        }
        let values = tensor.to_vec::<f32>()?;
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let samples = tensor.shape().first().copied().unwrap_or(1).max(1);
            let sample = place / (values.len() / samples).max(1);
            return Err(AuditError::NotFinite { output: name.clone(), sample }.into());
        }
    }
    Ok(())
}

fn of_model(which: &'static str, model: &dyn Model) -> Result<()> {
    for (name, param) in model.named_params() {
        let Stored::F32(values) = param.stored() else { continue };
        if let Some(index) = values.to_vec::<f32>()?.iter().position(|value| value.is_nan()) {
            return Err(AuditError::NotANumber { which, name, index }.into());
        }
    }
    Ok(())
}
