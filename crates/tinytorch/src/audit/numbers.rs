//! Whether the models that are judged hold numbers.

use super::{AuditError, Subject};
use crate::Result;
use crate::autograd::Stored;
use crate::models::Model;

/// Refuses models of which a float parameter holds NaN: their outputs are no numbers either, if they run at all,
/// and the layer that notices first is another than the one at fault.
///
/// # Errors
/// [`AuditError::NotANumber`], which names the parameter.
pub(super) fn check(subject: &Subject) -> Result<()> {
    of_model("float", &*subject.float)?;
    of_model("int8", &*subject.int8)
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
