use super::files::Files;
use super::layers::{Comparison, FloatPass, Int8Pass, LayerEvidence};
use super::{Means, Subject};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::Model;
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
    /// Float outputs, `[samples, classes]`.
    pub float: Tensor,
    /// Int8 outputs for the same samples.
    pub int8: Tensor,
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
    pub fn gather(subject: &Subject, means: &Means) -> Result<Evidence> {
        let inputs = subject.held_out.inputs();
        let batch = inputs.slice(0, 0..inputs.shape()[0].min(BATCH))?;
        let first = Var::from(&batch);
        let folded = fold(&*subject.float, &first, &subject.config)?;
        let names = subject.float.named_params();
        let names = names.into_iter().map(|(name, p)| (p.id(), name)).collect();
        let mut float_pass = FloatPass::new(names, &folded);
        subject.float.forward(&first, &mut Ctx::eval().observed(&mut float_pass))?;

        let names = subject.int8.named_params();
        let names: BTreeMap<_, _> =
            names.into_iter().map(|(name, p)| (p.id(), (name, p))).collect();
        let mut int8_pass = Int8Pass::new(&names, subject, means, float_pass);
        let mut ctx = Ctx::eval().on(means.deployed).observed(&mut int8_pass);
        subject.int8.forward(&first, &mut ctx)?;
        drop(ctx);
        let Comparison { mut layers, out_of_order } = int8_pass.finish();
        let float = outputs(&mut Plan::compile(&*subject.float, &batch)?, inputs)?;
        let mut deployed = Plan::compile(&*subject.int8, &batch)?.on(means.deployed);
        let int8 = outputs(&mut deployed, inputs)?;
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
        Ok(Evidence { float, int8, layers, out_of_order, folded, files })
    }
}

/// A deployed model's outputs for all samples, in batches.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn outputs(plan: &mut Plan, inputs: &Tensor) -> Result<Tensor> {
    in_batches(inputs, |batch| plan.run(batch))
}

/// A model's outputs for all samples, op by op as in training.
///
/// # Errors
/// If the model does not run on the data.
pub(super) fn eager_outputs(model: &dyn Model, isa: Isa, inputs: &Tensor) -> Result<Tensor> {
    in_batches(inputs, |batch| {
        Ok(model.forward(&batch.into(), &mut Ctx::eval().on(isa))?.into_value())
    })
}

fn in_batches(inputs: &Tensor, mut run: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let n = inputs.shape()[0];
    let starts = (0..n).step_by(BATCH);
    let parts = starts.map(|start| run(&inputs.slice(0, start..n.min(start + BATCH))?));
    Tensor::cat::<f32>(&parts.collect::<Result<Vec<_>>>()?, 0)
}
