//! Quantization-aware training: what rounding costs is won back by training with it, and the converted model is
//! the one that was trained.

use super::fit_support::{
    accuracy, calibration, fit, held_out_digits, output_error, outputs, trained, training_digits,
};
use super::train_support::values;
use std::collections::BTreeMap;
use tinytorch::autograd::Var;
use tinytorch::data::DataLoader;
use tinytorch::files::{Provenance, TensorFile, load_into, load_model, save_model};
use tinytorch::fit::{convert, prepare_qat};
use tinytorch::graph::ConvGeometry;
use tinytorch::int8::{Granularity, Scales, WeightBits};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{
    BatchNorm2d, Conv2d, Embedding, Flatten, Init, Linear, Module, Relu, Sequential,
};
use tinytorch::optim::{Adam, Schedule};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model, unquantize_model};
use tinytorch::train::{Classification, Trainer, trainable_summary};
use tinytorch::{Result, Rng, Tensor};

fn config(bits: u8, granularity: Granularity, activations: Activations) -> QuantConfig {
    let weight_bits = WeightBits::new(bits).unwrap();
    QuantConfig::new(Scheme::new(granularity, activations).with_bits(weight_bits)).knowingly()
}

/// Where post-training quantization loses 5 points or more, training with the rounding wins back at least
/// 80 % of them.
fn training_recovers(what: &str, float: Box<dyn Model>, bits: u8, epochs: u64) {
    let coarse = config(bits, Granularity::PerTensor, Activations::Static);
    let held_out = held_out_digits();
    let before = accuracy(&float, &held_out);

    let mut post_training = float.clone();
    quantize_model(&mut post_training, calibration(), &coarse).unwrap();
    let lost = before - accuracy(&post_training, &held_out);

    let mut aware = float.clone();
    prepare_qat(&mut aware, calibration(), &coarse).unwrap();
    fit(&mut aware, &training_digits(), Adam::new(2e-3), epochs);
    convert(&mut aware).unwrap();
    assert!(aware.named_weights().iter().all(|(_, weight)| weight.int8().is_some()));
    let recovered = accuracy(&aware, &held_out) - (before - lost);
    println!("{what}, {bits} bits: {before:.4} loses {lost:.4}, {recovered:.4} comes back");
    assert!(lost >= 0.05, "{what} loses only {lost}");
    assert!(recovered >= 0.8 * lost, "{what}: {recovered} of {lost}");
}

#[test]
fn training_recovers_what_few_bits_cost_a_perceptron() {
    training_recovers("digits-mlp", trained("digits-mlp"), 2, 10);
}

#[test]
fn training_recovers_what_few_bits_cost_a_convolutional_network() {
    training_recovers("digits-cnn", trained("digits-cnn"), 2, 3);
}

/// One neuron in sixteen is made 16 times larger and read 16 times weaker: the float model is the same, but one
/// step for the whole weight is too coarse for the other neurons.
#[test]
fn training_recovers_what_unbalanced_weights_cost_at_four_bits() {
    let mut float = trained("digits-mlp");
    let images = held_out_digits().inputs().clone();
    let before = outputs(&*float, &images);
    let mut params = float.named_params_mut();
    let factor = |neuron: usize| if neuron.is_multiple_of(16) { 16.0 } else { 1.0 };
    let mut scale = |index: usize, by: &dyn Fn(usize) -> f32| {
        let values = params[index].1.value_mut().unwrap().as_mut_slice::<f32>().unwrap();
        values.iter_mut().enumerate().for_each(|(i, v)| *v *= by(i));
    };
    scale(0, &|i| factor(i / 64));
    scale(1, &factor);
    scale(2, &|i| 1.0 / factor(i % 128));
    assert!(output_error(&before, &outputs(&*float, &images)) < 1e-5);
    training_recovers("unbalanced digits-mlp", float, 4, 15);
}

#[test]
fn preparing_and_converting_without_training_is_post_training_quantization() {
    let images = held_out_digits().inputs().clone();
    let float = trained("digits-cnn");
    for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
        let config = config(8, Granularity::PerChannel, activations);
        let mut post_training = float.clone();
        let want = quantize_model(&mut post_training, calibration(), &config).unwrap();
        let mut converted = float.clone();
        prepare_qat(&mut converted, calibration(), &config).unwrap();
        let got = convert(&mut converted).unwrap();
        assert_eq!(got.folded, want.folded);
        let sizes = |report: &tinytorch::quant::QuantReport| -> Vec<(String, usize)> {
            report.weights.iter().map(|w| (w.name.clone(), w.int8_bytes)).collect()
        };
        assert_eq!(sizes(&got), sizes(&want));
        // The steps have been through a logarithm, and a pixel of half brightness lies on the border of two
        // levels, so that the last bit of a step decides.
        let error =
            output_error(&outputs(&*post_training, &images), &outputs(&*converted, &images));
        assert!(error < 5e-3, "{activations:?}: {error}");
    }
}

#[test]
fn the_converted_model_gives_what_the_rounded_one_gave() {
    let images = held_out_digits().inputs().clone();
    for preset in ["digits-mlp", "digits-cnn"] {
        let float = Architecture::preset(preset).unwrap().build(&mut Init::seed(3)).unwrap();
        for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
            for (bits, activations) in
                [(4, Activations::Static), (8, Activations::Dynamic), (8, Activations::Float)]
            {
                let mut model = float.clone();
                let config = config(bits, granularity, activations);
                prepare_qat(&mut model, calibration(), &config).unwrap();
                fit(&mut model, &training_digits().select(&[0; 64]).unwrap(), Adam::new(1e-2), 2);
                let rounded = outputs(&*model, &images);
                convert(&mut model).unwrap();
                // A value that lies on the border of two levels may fall either way.
                let error = output_error(&rounded, &outputs(&*model, &images));
                assert!(error < 2e-3, "{preset} {granularity:?} {activations:?}: {error}");
                let plan = Plan::compile(&*model, &images).unwrap().run(&images).unwrap();
                assert!(output_error(&rounded, &plan) < 2e-3);
            }
        }
    }
}

#[test]
fn one_layer_converts_to_the_rounding_of_floats() {
    let x = Tensor::randn([9, 40], 1.0, &mut Rng::seed(1)).unwrap();
    let ids = Tensor::from_vec(vec![3i64, 0, 3], [3]).unwrap();
    for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
        for bits in [3, 8] {
            let config = config(bits, Granularity::PerChannel, activations);
            let mut layer = Linear::new(40, 7, &mut Init::seed(1)).unwrap();
            prepare_qat(&mut layer, [Ok(Var::from(&x))], &config).unwrap();
            let rounded = outputs(&layer, &x);
            convert(&mut layer).unwrap();
            assert!(outputs(&layer, &x).allclose(&rounded, 1e-5, 1e-5).unwrap());

            let mut table = Embedding::new(5, 40, &mut Init::seed(2)).unwrap();
            prepare_qat(&mut table, [Ok(Var::from(&ids))], &config).unwrap();
            let rounded = outputs(&table, &ids).to_vec::<f32>().unwrap();
            convert(&mut table).unwrap();
            assert_eq!(outputs(&table, &ids).to_vec::<f32>().unwrap(), rounded);
        }
    }
}

#[test]
fn a_convolution_without_a_bias_trains_what_its_batch_norm_adds() {
    let init = &mut Init::seed(1);
    let same = ConvGeometry::default().with_padding(1);
    let mut model = Sequential::new()
        .push(Conv2d::without_bias(1, 8, [3, 3], same, init).unwrap())
        .push(BatchNorm2d::new(8, init).unwrap())
        .push(Relu)
        .push(Flatten)
        .push(Linear::new(8 * 64, 10, init).unwrap());
    let images = held_out_digits().inputs().clone();
    fit(&mut model, &training_digits(), Adam::new(3e-3), 2);
    let config = config(8, Granularity::PerChannel, Activations::Static);
    let mut post_training = model.clone();
    quantize_model(&mut post_training, calibration(), &config).unwrap();

    assert_eq!(prepare_qat(&mut model, calibration(), &config).unwrap().folded, ["1"]);
    let shift = |model: &Sequential| {
        let params = model.named_params();
        let found = params.iter().find(|(name, _)| name == "0.weight_shift").unwrap();
        found.1.value().unwrap().to_vec::<f32>().unwrap()
    };
    assert_eq!(shift(&model), post_training.named_weights()[0].1.int8().unwrap().shift().unwrap());
    let before = shift(&model);
    fit(&mut model, &training_digits(), Adam::new(1e-3), 1);
    let (after, rounded) = (shift(&model), outputs(&model, &images));
    assert_ne!(before, after);
    convert(&mut model).unwrap();
    assert_eq!(model.named_weights()[0].1.int8().unwrap().shift().unwrap(), after);
    assert!(output_error(&rounded, &outputs(&model, &images)) < 5e-3);
}

#[test]
fn few_bits_leave_few_values_after_training() {
    let mut model = trained("digits-mlp");
    let config = config(4, Granularity::PerChannel, Activations::Static);
    prepare_qat(&mut model, calibration(), &config).unwrap();
    fit(&mut model, &training_digits(), Adam::new(2e-3), 1);
    convert(&mut model).unwrap();
    for (name, weight) in model.named_weights() {
        let packed = weight.int8().unwrap();
        let mut row = vec![0; packed.panels().k()];
        for i in 0..packed.panels().n() {
            packed.row_into(i, &mut row).unwrap();
            assert!(row.iter().all(|q| (-7..=7).contains(q)), "{name}");
        }
        assert!(matches!(packed.scales(), Scales::PerChannel(_)));
    }
}

fn prepared(seed: u64) -> Box<dyn Model> {
    let mut model =
        Architecture::preset("digits-mlp").unwrap().build(&mut Init::seed(seed)).unwrap();
    let config = config(4, Granularity::PerChannel, Activations::Static);
    prepare_qat(&mut model, calibration(), &config).unwrap();
    model
}

fn trainer() -> Trainer<Classification> {
    let schedule = Schedule::Cosine { warmup: 0, total: 4 * 23, floor: 0.1 };
    Trainer::new(Classification, Adam::new(3e-3)).schedule(schedule)
}

#[test]
fn steps_are_trained_saved_and_resumed_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qat.safetensors");
    let loader = DataLoader::new(training_digits(), 64).unwrap().shuffle(true).seed(2);

    let (mut whole, mut whole_trainer) = (prepared(1), trainer());
    let start = values(&whole);
    whole_trainer.fit(&mut whole, &loader, None, 4).unwrap();
    let end = values(&whole);
    let steps: Vec<_> =
        start.iter().zip(&end).filter(|((n, _), _)| n.ends_with("_log_step")).collect();
    assert_eq!(steps.len(), 6, "a step for each weight and each input");
    assert!(steps.iter().all(|((_, before), (_, after))| before != after));

    let (mut first, mut first_trainer) = (prepared(1), trainer());
    first_trainer.fit(&mut first, &loader, None, 2).unwrap();
    first_trainer.save_model(&path, &*first, &Provenance::default()).unwrap();
    let (mut second, mut second_trainer) = (prepared(1), trainer());
    second_trainer.resume(&path, &mut *second).unwrap();
    second_trainer.fit(&mut second, &loader, None, 2).unwrap();
    assert_eq!(values(&second), end);

    // Without being told how, a model that is loaded rounds as the saved one did.
    let loaded = load_model(&path).unwrap().model;
    let images = held_out_digits().inputs().clone();
    let [got, want] = [&loaded, &first].map(|m| outputs(&**m, &images).to_vec::<f32>().unwrap());
    assert_eq!(got, want);

    let mut plain = Architecture::preset("digits-mlp").unwrap().build(&mut Init::seed(1)).unwrap();
    let error = trainer().resume(&path, &mut *plain).unwrap_err().to_string();
    assert!(error.contains("attached") && error.contains("layers.0.weight"), "{error}");
    assert!(plain.named_weights().iter().all(|(_, weight)| weight.fake_quant().is_none()));
}

#[test]
fn a_prepared_model_says_what_it_trains() {
    let mut model = trained("digits-cnn");
    let config = config(8, Granularity::PerChannel, Activations::Static);
    let report = prepare_qat(&mut model, calibration(), &config).unwrap();
    assert_eq!(report.prepared.len(), 4);
    assert_eq!(report.folded, ["blocks.0.norm", "blocks.1.norm"]);
    let summary = trainable_summary(&*model).to_string();
    assert!(summary.contains("blocks.0.norm.weight (folded)"), "{summary}");
    let names: Vec<String> = model.named_params().into_iter().map(|(name, _)| name).collect();
    let conv = names.iter().position(|n| n == "blocks.0.conv.weight").unwrap();
    assert_eq!(
        names[conv + 1..conv + 3],
        ["blocks.0.conv.weight_log_step", "blocks.0.conv.weight_input_log_step"]
    );
}

#[test]
fn a_file_whose_attachments_do_not_fit_leaves_the_model_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qat.safetensors");
    save_model(&path, &*prepared(1), &Provenance::default()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let mut other = Linear::new(64, 128, &mut Init::seed(5)).unwrap();
    let before = values(&other);
    let error = load_into(&mut other, &file).unwrap_err().to_string();
    assert!(error.contains("layers.0.weight"), "{error}");
    assert_eq!(values(&other), before);
    assert!(other.weight.fake_quant().is_none());
}

#[test]
fn misuse_is_told_in_a_sentence_and_changes_nothing() {
    let images = || calibration().into_iter();
    let plain = config(8, Granularity::PerChannel, Activations::Static);
    let mut model = trained("digits-mlp");
    let before = values(&model);
    let refused = |model: &mut Box<dyn Model>, config: &QuantConfig, part: &str| {
        let error = prepare_qat(model, images(), config).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let error = convert(&mut model).unwrap_err().to_string();
    assert!(error.contains("not prepared") && error.contains("prepare_qat"), "{error}");
    let blocks = config(8, Granularity::Blocks, Activations::Static);
    refused(&mut model, &blocks, "`layers.0.weight`");
    refused(&mut model, &blocks, "per channel");
    let unknown = plain.clone().with("layers.9.weight", Scheme::Float);
    refused(&mut model, &unknown, "layers.9.weight");
    let none: Vec<Result<Var>> = Vec::new();
    assert!(prepare_qat(&mut model, none, &plain).is_err());
    assert_eq!(values(&model), before);

    prepare_qat(&mut model, images(), &plain).unwrap();
    let before = values(&model);
    refused(&mut model, &plain, "prepared for quantization-aware training already");
    let error = quantize_model(&mut model, images(), &plain).unwrap_err().to_string();
    assert!(error.contains("`convert`"), "{error}");
    model.named_params_mut()[0].1.value_mut().unwrap().as_mut_slice::<f32>().unwrap()[3] = f32::NAN;
    let error = convert(&mut model).unwrap_err().to_string();
    assert!(error.contains("`layers.0.weight`") && error.contains("NaN"), "{error}");
    assert_eq!(values(&model).len(), before.len());

    let mut converted = trained("digits-mlp");
    quantize_model(&mut converted, images(), &plain).unwrap();
    refused(&mut converted, &plain, "int8 already");
    assert!(unquantize_model(&mut *converted).is_err());
    assert!(WeightBits::new(9).unwrap_err().to_string().contains("9 bits"));
    let record: BTreeMap<&str, u8> = BTreeMap::from([("weight_bits", 1)]);
    let json = serde_json::to_string(&record).unwrap();
    assert!(serde_json::from_str::<QuantConfig>(&json).is_err());
}
