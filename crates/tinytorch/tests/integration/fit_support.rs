//! Trained reference models, their data, and what is measured of them, for tests that change models.

use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, Examples, digits};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Forward, Init, Module};
use tinytorch::optim::{Adam, Optimizer, Schedule};
use tinytorch::quant::QuantConfig;
use tinytorch::train::{Classification, Objective, Trainer, evaluate};
use tinytorch::{Result, Tensor};

/// A model of any architecture, as trainers take it: a value of known size.
pub(crate) type AnyModel = Box<dyn Model>;

/// A preset trained on the embedded digits, as the audit trains it but for fewer epochs.
pub(crate) fn trained(preset: &str) -> AnyModel {
    let mut model = Architecture::preset(preset).unwrap().build(&mut Init::seed(1)).unwrap();
    let epochs = if preset == "digits-cnn" { 4 } else { 15 };
    fit(&mut model, &training_digits(), Adam::new(3e-3), epochs);
    model
}

/// The digits that models learn from.
pub(crate) fn training_digits() -> Examples {
    digits().unwrap().train
}

/// The digits that they are judged by.
pub(crate) fn held_out_digits() -> Examples {
    digits().unwrap().test.unwrap()
}

/// Trains with a learning rate that falls along a cosine.
pub(crate) fn fit<M: Forward<Output = Var>>(
    model: &mut M,
    examples: &Examples,
    optimizer: impl Optimizer + 'static,
    epochs: u64,
) {
    fit_to(Classification, model, examples, optimizer, epochs);
}

/// [`fit`] for any objective.
pub(crate) fn fit_to<M: Module, O: Objective<M>>(
    objective: O,
    model: &mut M,
    examples: &Examples,
    optimizer: impl Optimizer + 'static,
    epochs: u64,
) {
    let loader = DataLoader::new(examples.clone(), 64).unwrap().shuffle(true).seed(1);
    let total = epochs * loader.len() as u64;
    let schedule = Schedule::Cosine { warmup: 0, total, floor: 0.0 };
    let mut trainer = Trainer::new(objective, optimizer).schedule(schedule);
    trainer.fit(model, &loader, None, epochs).unwrap();
}

/// Share of examples that the model names correctly.
pub(crate) fn accuracy<M: Forward<Output = Var>>(model: &M, examples: &Examples) -> f64 {
    let loader = DataLoader::new(examples.clone(), 120).unwrap();
    evaluate(model, &Classification, &loader).unwrap().accuracy.unwrap()
}

/// Batches of training images.
pub(crate) fn calibration() -> Vec<Result<Var>> {
    let images = digits().unwrap().calibration(512, 0).unwrap();
    (0..8).map(|i| Ok(Var::from(images.slice(0, i * 64..(i + 1) * 64)?))).collect()
}

/// Int8 with calibrated activations, of a caller who knows what is lost.
pub(crate) fn int8() -> QuantConfig {
    QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::default() }
}

/// The model's outputs.
pub(crate) fn outputs<M: Forward<Output = Var> + ?Sized>(model: &M, inputs: &Tensor) -> Tensor {
    model.forward(&inputs.into(), &mut Ctx::eval()).unwrap().into_value()
}

/// Relative L2 error of `b`, both sides minus the mean of `a` over its rows, as the audit measures it.
pub(crate) fn output_error(a: &Tensor, b: &Tensor) -> f64 {
    let mean = a.mean_axis(0, true).unwrap();
    let norm = |t: &Tensor| f64::from(t.mul(t).unwrap().sum().unwrap()).sqrt();
    norm(&b.sub(a).unwrap()) / norm(&a.sub(&mean).unwrap())
}
