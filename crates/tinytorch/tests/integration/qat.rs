//! Quantization-aware training: what rounding costs, training with it wins back, and the converted model is
//! the one that was trained.

use super::fit_support::{accuracy, calibration, trained};
use super::train_support::values;
use std::collections::BTreeMap;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, digits};
use tinytorch::int8::{Granularity, Input, WeightBits};
use tinytorch::io::{Provenance, TensorFile, load_into, load_model, save_model, save_params};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Embedding, Forward, Init, Linear, Module, Sequential};
use tinytorch::optim::{Adam, Schedule, Sgd};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, convert, prepare_qat, quantize_model};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Rng, Tensor};

fn config(bits: u8, granularity: Granularity, activations: Activations) -> QuantConfig {
    QuantConfig {
        weight_bits: WeightBits::new(bits).unwrap(),
        granularity,
        activations,
        destroys_floats_knowingly: true,
        ..QuantConfig::default()
    }
}

fn coarse(bits: u8) -> QuantConfig {
    config(bits, Granularity::PerTensor, Activations::Static)
}

fn train_rounded(model: &mut Box<dyn Model>, epochs: u64) {
    let data = digits().unwrap();
    let loader = DataLoader::new(data.train, 64).unwrap().shuffle(true).seed(5);
    let total = epochs * loader.len() as u64;
    let mut trainer = Trainer::new(Classification, Adam::new(2e-3)).schedule(Schedule::Cosine {
        warmup: 0,
        total,
        floor: 0.0,
    });
    trainer.fit(model, &loader, None, epochs).unwrap();
}

/// Where post-training quantization loses 5 points or more, training with the rounding wins back at least
/// 80 % of them.
fn training_recovers(preset: &str, bits: u8, epochs: u64) {
    let float = trained(preset);
    let before = accuracy(&float);

    let mut after_training = float.clone();
    quantize_model(&mut after_training, calibration(), &coarse(bits)).unwrap();
    let lost = before - accuracy(&after_training);

    let mut aware = float.clone();
    prepare_qat(&mut aware, calibration(), &coarse(bits)).unwrap();
    train_rounded(&mut aware, epochs);
    convert(&mut aware).unwrap();
    assert!(aware.named_weights().iter().all(|(_, w)| w.int8().is_some()));
    let recovered = accuracy(&aware) - (before - lost);
    println!(
        "{preset}, {bits} bits: {before:.4} loses {lost:.4}, training recovers {recovered:.4}"
    );
    assert!(lost >= 0.05, "{preset} loses only {lost}");
    assert!(recovered >= 0.8 * lost, "{preset}: {recovered} of {lost}");
}

#[test]
fn training_recovers_what_few_bits_cost_a_perceptron() {
    for bits in [4, 3, 2] {
        training_recovers("digits-mlp", bits, 10);
    }
}

#[test]
fn training_recovers_what_few_bits_cost_a_convolutional_network() {
    training_recovers("digits-cnn", 3, 3);
}
