//! tinytorch's plans of a model in a file.

use crate::case::{Case, Onnx};
use crate::serve::Variant;
use anyhow::Result;
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::graph::{View, ViewMut};
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch_onnx::OnnxModel;

pub(super) fn prepare(case: &Case, work: &Onnx) -> Result<Vec<Variant>> {
    let read = |what: &str| -> Result<Vec<Tensor>> {
        (0..work.inputs.len()).map(|i| case.read(&format!("{what}-{i}"))).collect()
    };
    let (inputs, calibration) = (read("input")?, read("calibration")?);
    let mut model = OnnxModel::open(&work.file)?;
    let mut variants = vec![variant("f32", &model, &inputs)?];
    let int8 = [("int8 static", Activations::Static), ("int8 dynamic", Activations::Dynamic)];
    for (name, activations) in int8.into_iter().filter(|(name, _)| case.wants(name)) {
        let batches = (0..calibration[0].shape()[0]).map(|batch| {
            let of = |input: &Tensor| input.select(0, batch).map(Var::from);
            calibration.iter().map(of).collect::<tinytorch::Result<Vec<Var>>>()
        });
        let config = QuantConfig::new(Scheme::from(activations)).knowingly();
        quantize_model(&mut model, batches, &config)?;
        variants.push(variant(name, &model, &inputs)?);
    }
    Ok(variants)
}

fn variant(name: &'static str, model: &OnnxModel, inputs: &[Tensor]) -> Result<Variant> {
    let mut plan = model.plan_for(inputs)?;
    let inputs: Vec<Tensor> = inputs.iter().map(Tensor::contiguous).collect::<Result<_, _>>()?;
    let mut outputs = plan.run_many(&inputs.iter().collect::<Vec<_>>())?;
    let output = outputs[0].clone();
    let call = move || -> Result<()> {
        let views = inputs.iter().map(View::of).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = outputs.iter_mut().map(ViewMut::of).collect::<Result<Vec<_>, _>>()?;
        Ok(plan.run_many_into(&views, &mut outputs)?)
    };
    Ok(Variant { name, output, call: Box::new(call) })
}
