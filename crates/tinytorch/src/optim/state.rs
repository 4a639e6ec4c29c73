//! What an optimizer remembers.

use super::check::{check_shapes, first_not_finite};
use super::{Moments, OptimError};
use crate::Result;
use crate::autograd::{Param, Role};
use crate::nn::Module;
use std::collections::BTreeMap;

/// Everything an optimizer needs to go on where another left off.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// The kind of optimizer, such as `adam`.
    pub kind: String,
    /// The learning rate.
    pub lr: f64,
    /// Hyper-parameters by name.
    pub settings: BTreeMap<String, f64>,
    /// Names of the tensors that each parameter has.
    pub slots: Vec<String>,
    /// What is remembered of each parameter, by its dotted name.
    pub moments: BTreeMap<String, Moments>,
}

/// Checks that `moments` can be those of `model`, with `slots` tensors each.
pub(super) fn check_moments(
    model: &dyn Module,
    moments: &BTreeMap<String, Moments>,
    slots: usize,
) -> Result<()> {
    let params: BTreeMap<String, &Param> = model.named_params().into_iter().collect();
    for (name, of_param) in moments {
        let refuse = |problem: String| -> Result<()> {
            Err(OptimError::StateTensor { name: name.clone(), problem }.into())
        };
        let Some(param) = params.get(name).filter(|param| param.role() != Role::Buffer) else {
            return refuse("is not a parameter of it".into());
        };
        if of_param.slots.len() != slots {
            let got = of_param.slots.len();
            return refuse(format!("comes with {got} tensors instead of {slots}"));
        }
        check_shapes(name, &param.shape(), of_param)?;
        for tensor in &of_param.slots {
            if first_not_finite(tensor.contiguous()?.as_slice::<f32>()?).is_some() {
                return refuse("has values in the state that are NaN or infinite".into());
            }
        }
    }
    Ok(())
}
