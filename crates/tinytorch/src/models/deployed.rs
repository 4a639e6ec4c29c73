//! A model of any number of inputs and outputs as a plan.

use super::{ListModel, Model};
use crate::Result;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Compiles a model by tracing a pass on these examples, one for each input.
///
/// # Errors
/// As [`Plan::compile`].
pub fn compile(model: &dyn Model, examples: &[Tensor]) -> Result<Plan> {
    Plan::compile(model as &dyn ListModel, &examples.to_vec())
}

/// Every output of a plan for these inputs.
///
/// # Errors
/// As [`Plan::run_many`].
pub fn run(plan: &mut Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    plan.run_many(&inputs.iter().collect::<Vec<_>>())
}
