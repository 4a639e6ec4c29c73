//! A model of any number of inputs and outputs as a plan.

use super::Model;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Compiles a model by tracing a pass on these examples, one for each input.
///
/// # Errors
/// As [`Plan::compile`].
pub fn compile(model: &dyn Model, examples: &[Tensor]) -> Result<Plan> {
    let mut ctx = Ctx::trace();
    let inputs: Vec<Var> = examples.iter().map(|example| ctx.input(example)).collect();
    let outputs = model.forward_list(&inputs, &mut ctx)?;
    let tape = ctx.into_tape().ok_or(crate::autograd::AutogradError::Untracked)?;
    let names = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
    Plan::from_graph(tape.lower(&outputs)?, &examples.iter().collect::<Vec<_>>(), &names.collect())
}

/// Every output of a plan for these inputs.
///
/// # Errors
/// As [`Plan::run_many`].
pub fn run(plan: &mut Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    plan.run_many(&inputs.iter().collect::<Vec<_>>())
}
