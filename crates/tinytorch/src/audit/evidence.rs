//! What both models do on the held-out samples, gathered once for all gates.

use super::files::Files;
use super::layers::{Comparison, FloatPass, Int8Pass, LayerEvidence, RangePass};
use super::passes::{batches, outputs};
use super::saturation::{self, Saturation};
use super::{AuditOptions, Subject, layer_times, numbers};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::models::{ListModel, Model, compile};
use crate::quant::{Folded, fold};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use tinytorch_kernels::os::give_back_if_wanted;

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
    /// What the fixed ranges leave room for.
    pub saturation: Vec<Saturation>,
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
        let batch = subject.held_out.first(subject.held_out.per_pass())?;
        let one: Vec<Var> = subject.held_out.first(1)?.into_iter().map(Var::from).collect();
        let folded = fold(&*subject.float as &dyn ListModel, &one, &subject.config_as_stored()?)?;
        // Before the int8 model may stumble over what is no number.
        let float = outputs(&mut compile(&*subject.float, &batch)?, &subject.held_out)?;
        let names = names_of(&*subject.int8, float.len());
        numbers::check_outputs(&float, &names)?;
        give_back_if_wanted();
        let (mut layers, out_of_order) = layers(subject, options, &folded)?;
        give_back_if_wanted();
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
        drop(deployed);
        give_back_if_wanted();
        if options.latency {
            layer_times::note(&mut layers, subject, options)?;
        }
        let files = Files::of(subject)?;
        let outputs = names_of(&*subject.int8, int8.len());
        let saturation = saturation::saturation(subject, options)?;
        Ok(Evidence { float, int8, outputs, layers, out_of_order, folded, saturation, files })
    }
}

/// Every layer of both models, compared over all samples, and what ran in another place.
fn layers(
    subject: &Subject,
    options: &AuditOptions,
    folded: &Folded,
) -> Result<(Vec<LayerEvidence>, Vec<String>)> {
    let names = subject.float.named_params();
    let names = names.into_iter().map(|(name, p)| (p.id(), name)).collect();
    let mut ranges = RangePass::default();
    for batch in batches(&subject.held_out, &*subject.float)? {
        ranges.begin();
        subject.float.forward_list(&batch?, &mut Ctx::eval().observed(&mut ranges))?;
    }
    let ranges = ranges.finish();
    let params = subject.int8.named_params();
    let params: BTreeMap<_, _> = params.into_iter().map(|(name, p)| (p.id(), (name, p))).collect();
    let mut found = Comparison::default();
    for batch in batches(&subject.held_out, &*subject.float)? {
        let batch = batch?;
        let mut float = FloatPass::new(&names, folded);
        subject.float.forward_list(&batch, &mut Ctx::eval().observed(&mut float))?;
        let float = float.finish();
        let mut int8 = Int8Pass::new(&params, subject, options, &ranges, float, &mut found);
        let mut ctx = Ctx::eval().on(options.deployed).observed(&mut int8);
        subject.int8.forward_list(&batch, &mut ctx)?;
        drop(ctx);
        int8.finish();
    }
    Ok(found.finish())
}

/// What a model calls its outputs, or their numbers.
pub(super) fn names_of(model: &dyn Model, count: usize) -> Vec<String> {
    let mut named = model.output_names().into_iter();
    (0..count).map(|i| named.next().unwrap_or_else(|| format!("output {i}"))).collect()
}
