//! Fine-tuning int8 models: biases, norms and low-rank adapters learn what the frozen int8 weights do not know.

use super::fit_support::{
    AnyModel, accuracy, calibration, fit, held_out_digits, int8, output_error, outputs, trained,
    training_digits,
};
use super::train_support::values;
use std::collections::BTreeMap;
use tinytorch::Result;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, Examples};
use tinytorch::files::{Provenance, TensorFile, load_model, save_model};
use tinytorch::fit::lora::{self as adapters, AdapterConfig};
use tinytorch::nn::{
    AttentionConfig, FeedForward, Flatten, Forward, Init, LayerNorm, Linear, Module,
    MultiHeadAttention, Relu, Sequential, TransformerBlock,
};
use tinytorch::optim::{Adam, AdamW};
use tinytorch::plan::Plan;
use tinytorch::profile::ParameterCount;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::train::{Classification, Trainer, Untrained, trainable_summary};

const SMALL: AdapterConfig = AdapterConfig { rank: 8, alpha: 16.0 };

/// The same digits, white on black instead of black on white.
fn inverted(examples: &Examples) -> Examples {
    let inputs = examples.inputs().map(|v| 1.0 - v).unwrap();
    Examples::new(inputs, examples.labels().clone()).unwrap()
}

fn dynamic() -> QuantConfig {
    QuantConfig::new(Activations::Dynamic).knowingly()
}

fn perceptron() -> Sequential {
    let init = &mut Init::seed(1);
    Sequential::new()
        .push(Flatten)
        .push(Linear::new(64, 128, init).unwrap())
        .push(LayerNorm::new(128, init).unwrap())
        .push(Relu)
        .push(Linear::new(128, 64, init).unwrap())
        .push(LayerNorm::new(64, init).unwrap())
        .push(Relu)
        .push(Linear::new(64, 10, init).unwrap())
}

/// Reads a digit as eight rows of eight pixels.
#[derive(Module, Clone)]
struct RowReader {
    embed: Linear,
    block: TransformerBlock,
    head: Linear,
}

impl RowReader {
    fn new() -> RowReader {
        let init = &mut Init::seed(2);
        let attention = MultiHeadAttention::new(AttentionConfig::new(32, 4), init).unwrap();
        let norms = [LayerNorm::new(32, init).unwrap(), LayerNorm::new(32, init).unwrap()];
        let mlp = FeedForward::new(32, 64, init).unwrap();
        RowReader {
            embed: Linear::new(8, 32, init).unwrap(),
            block: TransformerBlock::norm_first(attention, mlp, norms),
            head: Linear::new(8 * 32, 10, init).unwrap(),
        }
    }
}

impl Forward for RowReader {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rows = self.embed.forward(&x.flatten(0, 1, ctx)?, ctx)?;
        let mixed = self.block.forward(&rows, ctx)?;
        self.head.forward(&mixed.flatten(1, 2, ctx)?, ctx)
    }
}

/// Trains on digits, quantizes, and fine-tunes on inverted digits, which the int8 model cannot read.
fn learns_inverted_digits<M: Forward<Output = Var>>(mut model: M, epochs: [u64; 2], lr: f64) {
    let (train, held_out) = (training_digits(), held_out_digits());
    fit(&mut model, &train, Adam::new(3e-3), epochs[0]);
    quantize_model(&mut model, std::iter::empty::<Result<Var>>(), &dynamic()).unwrap();
    let before = accuracy(&model, &held_out);
    let shifted = accuracy(&model, &inverted(&held_out));
    assert!(before > 0.93 && shifted < 0.5, "{before} {shifted}");

    adapters::attach(&mut model, "*", SMALL, &mut Init::seed(3)).unwrap();
    let int8_weights: Vec<_> =
        model.named_params().iter().filter_map(|(_, p)| p.int8().cloned()).collect();
    let start = values(&model);
    fit(&mut model, &inverted(&train), AdamW::new(lr), epochs[1]);
    let after = accuracy(&model, &inverted(&held_out));
    println!("{before:.4}, {shifted:.4} inverted, {after:.4} after fine-tuning");
    assert!(after > before - 0.05, "{after} after fine-tuning, {before} on what it knew");

    let same = model.named_params().into_iter().filter_map(|(_, p)| p.int8().cloned());
    assert!(same.zip(&int8_weights).all(|(now, then)| now.shares(then)));
    for ((name, before), (_, after)) in start.iter().zip(values(&model)) {
        assert!(*before != after, "{name} has not been trained");
    }
}

#[test]
fn an_int8_perceptron_learns_through_biases_norms_and_adapters() {
    learns_inverted_digits(perceptron(), [10, 80], 2e-2);
}

#[test]
fn an_int8_transformer_block_learns_through_biases_norms_and_adapters() {
    learns_inverted_digits(RowReader::new(), [10, 12], 5e-3);
}

#[test]
fn biases_alone_train_over_int8_convolutions() {
    let mut model = trained("digits-cnn");
    quantize_model(&mut model, calibration(), &int8()).unwrap();
    let summary = trainable_summary(&*model);
    let expected =
        ["blocks.0.conv.bias", "blocks.1.conv.bias", "head.layers.0.bias", "head.layers.1.bias"];
    assert_eq!(summary.trained, expected);
    let reasons = |why| summary.untrained.iter().filter(|(_, reason)| *reason == why).count();
    assert_eq!((reasons(Untrained::Int8), reasons(Untrained::Folded)), (4, 8));

    let (train, loss) = (inverted(&training_digits()), |model: &AnyModel| {
        let loader = DataLoader::new(inverted(&held_out_digits()), 120).unwrap();
        tinytorch::train::evaluate(model, &Classification, &loader).unwrap().loss
    });
    let before = loss(&model);
    fit(&mut model, &train.select(&(0..512).collect::<Vec<_>>()).unwrap(), Adam::new(2e-2), 3);
    assert!(loss(&model) < 0.8 * before, "{} after {before}", loss(&model));
}

fn adapted() -> AnyModel {
    let mut model = trained("digits-mlp");
    quantize_model(&mut model, calibration(), &int8()).unwrap();
    adapters::attach(&mut model, "layers.*", SMALL, &mut Init::seed(3)).unwrap();
    fit(&mut model, &inverted(&training_digits()), Adam::new(5e-3), 1);
    model
}

#[test]
fn files_plans_and_the_profiler_know_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let (model, images) = (adapted(), held_out_digits().inputs().clone());
    save_model(&paths[0], &*model, &Provenance::default()).unwrap();
    let loaded = load_model(&paths[0]).unwrap();
    save_model(&paths[1], &*loaded.model, &loaded.provenance).unwrap();
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
    let [want, got] = [&model, &loaded.model].map(|m| outputs(&**m, &images));
    assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    let file = TensorFile::open(&paths[0]).unwrap();
    assert_eq!(file.info("layers.1.lora_A").unwrap().shape.dims(), [8, 128]);
    assert_eq!(file.info("layers.1.lora_B").unwrap().shape.dims(), [64, 8]);

    let plan = Plan::compile(&*model, &images).unwrap().run(&images).unwrap();
    assert!(output_error(&want, &plan) < 1e-4);
    let count = ParameterCount::of(&*model);
    let adapters = 8 * (64 + 128) + 8 * (128 + 64) + 8 * (64 + 10);
    assert_eq!(count.trainable, adapters + 128 + 64 + 10);
    assert_eq!(count.int8, 64 * 128 + 128 * 64 + 64 * 10);
}

#[test]
fn a_training_of_adapters_resumes_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let loader = DataLoader::new(inverted(&training_digits()), 64).unwrap().shuffle(true).seed(2);
    let trainer = || Trainer::new(Classification, Adam::new(5e-3));
    let start = adapted();
    let (mut whole, mut one) = (start.clone(), trainer());
    one.fit(&mut whole, &loader, None, 2).unwrap();
    let (mut half, mut two) = (start.clone(), trainer());
    two.fit(&mut half, &loader, None, 1).unwrap();
    two.save_model(&path, &*half, &Provenance::default()).unwrap();
    let (mut resumed, mut three) = (start.clone(), trainer());
    three.resume(&path, &mut *resumed).unwrap();
    three.fit(&mut resumed, &loader, None, 1).unwrap();
    assert_eq!(values(&resumed), values(&whole));
}

#[test]
fn merging_adds_an_adapter_to_a_float_weight() {
    let images = held_out_digits().inputs().clone();
    let mut model = trained("digits-mlp");
    let names = adapters::attach(&mut model, "layers.*", SMALL, &mut Init::seed(3)).unwrap();
    assert_eq!(names, ["layers.0", "layers.1", "layers.2"]);
    let unchanged = outputs(&*model, &images);
    let frozen: Vec<_> = trainable_summary(&*model).untrained;
    assert_eq!(frozen[0], ("layers.0.weight".to_string(), Untrained::Frozen));
    fit(&mut model, &inverted(&training_digits()), Adam::new(5e-3), 1);
    let beside = outputs(&*model, &images);
    assert!(output_error(&unchanged, &beside) > 0.1, "training has changed nothing");
    assert_eq!(adapters::merge(&mut model).unwrap().len(), 3);
    assert!(outputs(&*model, &images).allclose(&beside, 1e-3, 1e-3).unwrap());
    assert!(trainable_summary(&*model).untrained.is_empty());
    assert_eq!(model.named_params().len(), 6);
}

#[test]
fn misuse_is_told_in_a_sentence_and_changes_nothing() {
    let mut model = adapted();
    let before = values(&model);
    let init = &mut Init::seed(1);
    let mut refused = |pattern: &str, config, parts: [&str; 2]| {
        let error = adapters::attach(&mut model, pattern, config, init).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    refused("layers.7", SMALL, ["`layers.7`", "layers.0, layers.1, layers.2"]);
    refused("layers.1", SMALL, ["`layers.1`", "already"]);
    refused("layers.1", AdapterConfig { alpha: f32::NAN, ..SMALL }, ["alpha", "NaN"]);
    let error = adapters::merge(&mut model).unwrap_err().to_string();
    assert!(error.contains("`layers.0.weight`") && error.contains("int8"), "{error}");
    assert_eq!(values(&model), before);

    assert_eq!(adapters::detach(&mut model).len(), 3);
    let error = adapters::merge(&mut model).unwrap_err().to_string();
    assert!(error.contains("no adapters"), "{error}");
    for (rank, max) in [(0, "1 to 64"), (65, "1 to 64")] {
        let config = AdapterConfig { rank, alpha: 1.0 };
        let error =
            adapters::attach(&mut model, "layers.0", config, &mut Init::seed(1)).unwrap_err();
        assert!(
            error.to_string().contains(max) && error.to_string().contains("`layers.0`"),
            "{error}"
        );
    }
    assert_eq!(model.named_params().len(), 6);
    let mut convolutions = trained_convolution();
    let error = adapters::attach(&mut convolutions, "0", SMALL, &mut Init::seed(1)).unwrap_err();
    assert!(error.to_string().contains("no linear layer `0`"), "{error}");
}

fn trained_convolution() -> Sequential {
    let geometry = tinytorch::graph::ConvGeometry::default();
    let conv = tinytorch::nn::Conv2d::new(1, 2, [3, 3], geometry, &mut Init::seed(1)).unwrap();
    Sequential::new().push(conv)
}

#[test]
fn a_file_with_an_adapter_for_a_layer_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_model(&path, &*adapted(), &Provenance::default()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let mut metadata: BTreeMap<String, String> = file.metadata().clone();
    let attached = metadata["attached"].replace("layers.1.weight", "layers.7.weight");
    metadata.insert("attached".into(), attached);
    let tensors: Vec<_> =
        file.tensors().map(|(name, _)| (name.to_string(), file.tensor(name).unwrap())).collect();
    let edited = folder.path().join("edited.safetensors");
    tinytorch::files::write_tensors(&edited, &tensors, &metadata).unwrap();
    let error = load_model(&edited).err().unwrap().to_string();
    assert!(error.contains("layers.7.weight"), "{error}");
}
