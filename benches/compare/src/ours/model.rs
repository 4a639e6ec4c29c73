//! tinytorch's plans of a network.

use crate::case::{Case, Model};
use crate::networks::network;
use crate::serve::Variant;
use anyhow::Result;
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::nn::Layer;
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};

/// How the int8 ways handle activations; weights have a scale for each channel.
const INT8: [(&str, Activations); 3] = [
    ("int8 static", Activations::Static),
    ("int8 dynamic", Activations::Dynamic),
    ("int8 dynamic, 16 bits", Activations::Dynamic16),
];

pub(super) fn prepare(case: &Case, work: &Model) -> Result<Vec<Variant>> {
    let mut float = network(&work.model)?.model;
    case.read_weights(&mut *float)?;
    let input = case.read("input")?;
    let mut variants = vec![variant("f32", &*float, &input)?];
    for (name, activations) in INT8.into_iter().filter(|(name, _)| case.wants(name)) {
        let mut model = float.clone();
        let calibration = case.read("calibration")?;
        let batches = (0..calibration.shape()[0]).map(|batch| calibration.select(0, batch));
        let config = QuantConfig::new(Scheme::from(activations)).knowingly();
        quantize_model(&mut *model, batches.map(|batch| batch.map(Var::from)), &config)?;
        variants.push(variant(name, &*model, &input)?);
    }
    Ok(variants)
}

fn variant(name: &'static str, model: &dyn Layer, input: &Tensor) -> Result<Variant> {
    let mut plan = Plan::compile(model, input)?;
    let input = input.contiguous()?;
    let output = plan.run(&input)?;
    let mut values = vec![0.0; output.len()];
    let call = move || -> Result<()> {
        Ok(plan.run_into(input.as_slice::<f32>()?, input.shape(), &mut values)?)
    };
    Ok(Variant { name, output, call: Box::new(call) })
}
