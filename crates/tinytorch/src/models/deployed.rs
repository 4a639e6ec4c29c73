//! A model of any number of inputs and outputs as a plan.

use super::{ListModel, Model};
use crate::Result;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Compiles a model by tracing a pass on these examples, one for each input. A model that
/// [unrolls](Model::unrolls) is traced anew for other lengths; its plan keeps a copy of it for that, which shares its
/// weights.
///
/// # Errors
/// As [`Plan::compile`].
pub fn compile(model: &dyn Model, examples: &[Tensor]) -> Result<Plan> {
    let traced = |model: &dyn Model, examples: &[Tensor]| {
        Plan::compile(model as &dyn ListModel, &examples.to_vec())
    };
    let plan = traced(model, examples)?;
    if !model.unrolls() {
        return Ok(plan);
    }
    let model = model.clone_box();
    Ok(plan.tracing_anew(examples, move |inputs| traced(&*model, inputs)))
}

/// Every output of a plan for these inputs.
///
/// # Errors
/// As [`Plan::run_many`].
pub fn run(plan: &mut Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    plan.run_many(&inputs.iter().collect::<Vec<_>>())
}
