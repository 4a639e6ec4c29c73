//! What both models do on the held-out samples, gathered once for all gates.

use super::compare::joined;
use super::files::Files;
use super::layers::{Comparison, FloatPass, Int8Pass, LayerEvidence};
use super::{AuditOptions, HeldOut, Subject};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{ListModel, Model, compile, run};
use crate::plan::Plan;
use crate::quant::{Folded, fold};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use tinytorch_kernels::Isa;

/// Samples per forward pass; small enough that activations stay in cache, large enough that the
/// passes, not their number, take the time.
const BATCH: usize = 64;

/// What running both models on the held-out data, as they are deployed, has shown.
pub struct Evidence {
    /// Float outputs, each `[samples, ..]`.
    pub float: Vec<Tensor>,
    /// Int8 outputs for the same samples.
    pub int8: Vec<Tensor>,
    /// What the outputs are called.
    pub outputs: Vec<String>,
    /// Every layer with a weight, in the order in which they ran.
    pub layers: Vec<LayerEvidence>,
    /// Layers that ran in another place than in the float model.
    pub out_of_order: Vec<String>,
    /// What folding batch norms should have made of the float model.
    pub(super) folded: Folded,
    /// Both models in files.
    pub files: Files,
}

impl Evidence {
    /// Runs both models on all held-out samples, the int8 model on the instruction set that it is
    /// deployed on.
    ///
    /// # Errors
    /// If a model does not run on the data.
    pub fn gather(subject: &Subject, options: &AuditOptions) -> Result<Evidence> {
        let batch = subject.held_out.first(BATCH)?;
        let first: Vec<Var> = batch.iter().map(Var::from).collect();
        let folded = fold(&*subject.float as &dyn ListModel, &first, &subject.config)?;
        let names = subject.float.named_params();
        let names = names.into_iter().map(|(name, p)| (p.id(), name)).collect();
        let mut float_pass = FloatPass::new(names, &folded);
        subject.float.forward_list(&first, &mut Ctx::eval().observed(&mut float_pass))?;

        let names = subject.int8.named_params();
        let names: BTreeMap<_, _> =
            names.into_iter().map(|(name, p)| (p.id(), (name, p))).collect();
        let mut int8_pass = Int8Pass::new(&names, subject, options, float_pass);
        let mut ctx = Ctx::eval().on(options.deployed).observed(&mut int8_pass);
        subject.int8.forward_list(&first, &mut ctx)?;
        drop(ctx);
        let Comparison { mut layers, out_of_order } = int8_pass.finish();
        let float = outputs(&mut compile(&*subject.float, &batch)?, &subject.held_out)?;
        let mut deployed = compile(&*subject.int8, &batch)?.on(options.deployed);
        let int8 = outputs(&mut deployed, &subject.held_out)?;
        for step in deployed.steps() {
            // A table is looked up by one step, multiplied by another, and a third may quantize what it
            // is multiplied by.
            let made_for = |layer: &&mut LayerEvidence| {
                !step.converts && layer.name == step.name && layer.looks_up == step.looks_up
            };
            if let (Some(layer), Some(kernel)) = (layers.iter_mut().find(made_for), step.kernel) {
                layer.kernel = kernel;
            }
        }
        let files = Files::of(subject)?;
        let outputs = names_of(&*subject.int8, int8.len());
        Ok(Evidence { float, int8, outputs, layers, out_of_order, folded, files })
    }
}

/// What a model calls its outputs, or their numbers.
fn names_of(model: &dyn Model, count: usize) -> Vec<String> {
    let mut named = model.output_names().into_iter();
    (0..count).map(|i| named.next().unwrap_or_else(|| format!("output {i}"))).collect()
}

/// A deployed model's outputs for all samples, in batches.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn outputs(plan: &mut Plan, held_out: &HeldOut) -> Result<Vec<Tensor>> {
    in_batches(held_out, |batch| run(plan, batch))
}

/// A model's outputs for all samples, op by op as in training.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn eager_outputs(
    model: &dyn Model,
    isa: Isa,
    held_out: &HeldOut,
) -> Result<Vec<Tensor>> {
    in_batches(held_out, |batch| {
        let inputs: Vec<Var> = batch.iter().map(Var::from).collect();
        let outputs = model.forward_list(&inputs, &mut Ctx::eval().on(isa))?;
        Ok(outputs.into_iter().map(Var::into_value).collect())
    })
}

fn in_batches(
    held_out: &HeldOut,
    mut run: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    for start in (0..held_out.len()).step_by(BATCH) {
        let outputs = run(&held_out.batch(start, BATCH)?)?;
        parts.resize_with(outputs.len(), Vec::new);
        parts.iter_mut().zip(outputs).for_each(|(part, output)| part.push(output));
    }
    parts.iter().map(|part| joined(part)).collect()
}
