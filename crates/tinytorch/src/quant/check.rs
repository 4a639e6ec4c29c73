//! What is refused before any work is done.

use super::fold::flag_of;
use super::{Prepared, QuantConfig, QuantError};
use crate::Result;
use crate::autograd::{Param, Role, Stored};
use crate::nn::Module;
use crate::tensor::Tensor;
use tinytorch_kernels::int8::Int8Error;
use tinytorch_kernels::os::room;

/// An attempt to get float weights back from an int8 model.
///
/// # Errors
/// [`QuantError::Irreversible`] naming the first int8 weight; a model without any is left as it is.
pub fn unquantize_model(model: &mut dyn Module) -> Result<()> {
    match model.named_params().into_iter().find(|(_, p)| p.int8().is_some()) {
        Some((name, _)) => Err(QuantError::Irreversible { name }.into()),
        None => Ok(()),
    }
}

/// Whether quantizing turns this parameter into int8.
pub fn is_weight(param: &Param) -> bool {
    matches!(param.role(), Role::LinearWeight | Role::ConvWeight { .. } | Role::Embedding)
}

/// Refuses a model or configuration that cannot be quantized, before any work is done.
pub(super) fn check<M: Module + ?Sized>(model: &M, config: &QuantConfig) -> Result<()> {
    let params = model.named_params();
    let total = params.len();
    for (name, param) in &params {
        if let Stored::F32(value) = param.stored() {
            check_finite(name, value)?;
        }
    }
    if let Some((name, _)) = model.named_weights().iter().find(|(_, w)| w.fake_quant().is_some()) {
        return Err(QuantError::AlreadyPrepared { name: name.clone() }.into());
    }
    let weights: Vec<_> = params.into_iter().filter(|(_, p)| is_weight(p)).collect();
    for (name, param) in &weights {
        match param.stored() {
            Stored::F32(_) => {}
            Stored::Int8(_) => {
                return Err(QuantError::AlreadyQuantized { name: name.clone() }.into());
            }
            Stored::Absent(_) => return Err(QuantError::NotLoaded { name: name.clone() }.into()),
        }
    }
    let names: Vec<&str> = weights.iter().map(|(name, _)| name.as_str()).collect();
    config.check_patterns(&names)?;
    let quantized = weights.iter().filter(|(name, _)| !config.keeps_float(name));
    match quantized.map(|(_, param)| param.shape().len() as u64).sum() {
        0 => Err(QuantError::NothingToQuantize { params: total }.into()),
        // A byte each; the floats are held until all are made.
        bytes => Ok(room::require("the int8 weights", bytes)?),
    }
}

/// Refuses findings about another model.
pub(super) fn check_names<M: Module + ?Sized>(model: &M, prepared: &Prepared) -> Result<()> {
    let params = model.named_params();
    let is_known = |name: &String| params.iter().any(|(known, _)| known == name);
    if let Some(name) = prepared.ranges.keys().find(|name| !is_known(name)) {
        return Err(QuantError::OtherModel { name: name.clone() }.into());
    }
    let flags = model.named_flags();
    let has = |norm: &str| flags.iter().any(|(name, _)| *name == flag_of(norm));
    match prepared.foldable().find(|norm| !has(norm)) {
        Some(norm) => Err(QuantError::OtherModel { name: norm.to_string() }.into()),
        None => Ok(()),
    }
}

/// Refuses a parameter that is NaN or infinite, before calibration blames what it spoils.
fn check_finite(name: &str, value: &Tensor) -> Result<()> {
    let dense = value.contiguous()?;
    let values = dense.as_slice::<f32>()?;
    let Some(index) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let source = Int8Error::NotFinite { what: "the parameter", value: values[index], index };
    Err(QuantError::Weight { name: name.to_string(), source: Box::new(source.into()) }.into())
}
