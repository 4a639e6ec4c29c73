//! Trained reference models, their data and their accuracy, for tests that change models.

use tinytorch::Result;
use tinytorch::autograd::Var;
use tinytorch::data::{DataLoader, digits};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Forward, Init};
use tinytorch::optim::{Adam, Schedule};
use tinytorch::train::{Classification, Trainer, evaluate};

/// A preset trained on the embedded digits, as the audit trains it but for fewer epochs.
pub(crate) fn trained(preset: &str) -> Box<dyn Model> {
    let mut model = Architecture::preset(preset).unwrap().build(&mut Init::seed(1)).unwrap();
    let epochs = if preset == "digits-cnn" { 4 } else { 15 };
    fit(&mut model, epochs, 3e-3);
    model
}

/// Trains on the training part of the digits.
pub(crate) fn fit(model: &mut Box<dyn Model>, epochs: u64, lr: f64) {
    let loader = DataLoader::new(digits().unwrap().train, 64).unwrap().shuffle(true).seed(1);
    let total = epochs * loader.len() as u64;
    let schedule = Schedule::Cosine { warmup: 0, total, floor: 0.0 };
    let mut trainer = Trainer::new(Classification, Adam::new(lr)).schedule(schedule);
    trainer.fit(model, &loader, None, epochs).unwrap();
}

/// Share of the held-out digits that the model names.
pub(crate) fn accuracy<M: Forward>(model: &M) -> f64 {
    let loader = DataLoader::new(digits().unwrap().test.unwrap(), 120).unwrap();
    evaluate(model, &Classification, &loader).unwrap().accuracy.unwrap()
}

/// Batches of training images.
pub(crate) fn calibration() -> Vec<Result<Var>> {
    let images = digits().unwrap().calibration(512, 0).unwrap();
    (0..8).map(|i| Ok(Var::from(images.slice(0, i * 64..(i + 1) * 64)?))).collect()
}
