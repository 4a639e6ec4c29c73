//! Between calibrating and quantizing lies plain data, which machines can share.

use std::collections::BTreeSet;
use tinytorch::autograd::{Ctx, Param, Stored, Var};
use tinytorch::files::digest_params;
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{Conv2d, Forward, Init, Linear, Module};
use tinytorch::quant::{
    Activations, Calibrator, Prepared, Prices, QuantConfig, QuantError, RangeMethod, Scheme,
    Search, apply, calibrate, quantize_model, quantize_within, relative_error,
};
use tinytorch::{Result, Rng, Tensor};

fn cnn() -> Box<dyn Model> {
    let architecture = Architecture::preset("digits-cnn").unwrap();
    architecture.build(&mut Init::seed(4)).unwrap()
}

fn images(batch: usize, seed: u64) -> Var {
    Tensor::randn([batch, 1, 8, 8], 1.0, &mut Rng::seed(seed)).unwrap().into()
}

fn batches() -> Vec<Var> {
    [(3, 1), (5, 2), (1, 3), (4, 4)].map(|(batch, seed)| images(batch, seed)).to_vec()
}

fn calibrated(model: &dyn Model, batches: &[Var], config: &QuantConfig) -> Prepared {
    calibrate(model, batches.iter().cloned().map(Ok), config).unwrap()
}

fn methods() -> [QuantConfig; 3] {
    [RangeMethod::MinMax, RangeMethod::Percentile(0.01), RangeMethod::Mse]
        .map(|range| QuantConfig { range, ..QuantConfig::default().knowingly() })
}

#[test]
fn calibrating_and_applying_is_quantizing() {
    let configs = [
        QuantConfig::default(),
        QuantConfig::new(Activations::Dynamic),
        QuantConfig::default().with("head.*", Scheme::DYNAMIC16_BLOCKS),
        QuantConfig::new(Activations::Float).with("blocks.0.*", Scheme::Float),
    ];
    for config in methods().into_iter().chain(configs.map(QuantConfig::knowingly)) {
        let (mut at_once, mut in_steps) = (cnn(), cnn());
        quantize_model(&mut *at_once, batches().into_iter().map(Ok), &config).unwrap();
        let prepared = calibrated(&*in_steps, &batches(), &config);
        let report = apply(&mut *in_steps, &prepared).unwrap();
        assert_eq!(digest_params(&*at_once).unwrap(), digest_params(&*in_steps).unwrap());
        assert_eq!(report.skipped.len(), usize::from(config.keeps_float("blocks.0.conv.weight")));
    }
}

#[test]
fn findings_merge_in_any_order_to_those_of_one_pass() {
    let model = cnn();
    for config in methods() {
        let parts = batches();
        let whole = calibrated(&*model, &parts, &config);
        for cut in 1..parts.len() {
            // The other machine has a clone, and its findings travel as text.
            let elsewhere = calibrated(&*model.clone(), &parts[cut..], &config);
            let text = serde_json::to_string(&elsewhere).unwrap();
            let mut merged: Prepared = serde_json::from_str(&text).unwrap();
            merged.merge(&calibrated(&*model, &parts[..cut], &config)).unwrap();
            assert_eq!(merged.samples(), 13);
            // Whether floats are destroyed knowingly is the caller's and does not travel.
            let merged = merged.with_config(&config).unwrap();
            assert_eq!(merged, whole, "{:?}", config.range);
        }
    }
}

#[test]
fn findings_that_do_not_go_together_are_refused_and_change_nothing() {
    let model = cnn();
    let [config, other_method, _] = methods();
    let mut prepared = calibrated(&*model, &batches(), &config);
    let before = prepared.clone();
    let mut other_norms = cnn();
    for (name, param) in other_norms.named_params_mut() {
        if name.ends_with("running_var") {
            *param.value_mut().unwrap() = Tensor::full(2.0, param.shape()).unwrap();
        }
    }
    for (other, problem) in [
        (calibrated(&*model, &batches(), &other_method), "different configurations"),
        (calibrated(&*other_norms, &batches(), &config), "batch norms differ"),
    ] {
        let error = prepared.merge(&other).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        assert_eq!(prepared, before);
    }
    assert!(prepared.with_config(&other_method).is_err());
}

#[test]
fn another_model_is_refused_and_left_as_it_was() {
    let prepared = calibrated(&*cnn(), &batches(), &methods()[0]);
    let architecture = Architecture::preset("digits-mlp").unwrap();
    let mut mlp = architecture.build(&mut Init::seed(1)).unwrap();
    let before = digest_params(&*mlp).unwrap();
    let error = apply(&mut *mlp, &prepared).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::OtherModel { .. })), "{error}");
    assert_eq!(digest_params(&*mlp).unwrap(), before);

    // A layer that was not calibrated has no range.
    let narrow = QuantConfig::new(Scheme::DYNAMIC).knowingly();
    let dynamic = calibrated(&*cnn(), &batches(), &narrow);
    let mut model = cnn();
    let asked = dynamic.with_config(&methods()[0]).unwrap();
    let error = apply(&mut *model, &asked).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(QuantError::NeverRan { .. })), "{error}");
    assert!(model.named_params().iter().all(|(_, p)| matches!(p.stored(), Stored::F32(_))));
    assert!(model.named_flags().iter().all(|(_, folded)| !folded));
}

#[test]
fn a_batch_that_fails_leaves_a_calibration_as_it_was() {
    let model = cnn();
    for config in methods() {
        let mut calibrator = Calibrator::new(&model, &config).unwrap();
        calibrator.observe(&model, &images(2, 1)).unwrap();
        let mut spoiled = images(2, 2).value().to_vec::<f32>().unwrap();
        spoiled[9] = f32::NAN;
        let spoiled = Var::from(Tensor::from_vec(spoiled, [2, 1, 8, 8]).unwrap());
        for bad in [spoiled, Var::from(Tensor::ones([2, 3]).unwrap())] {
            let error = calibrator.observe(&model, &bad).unwrap_err().to_string();
            assert!(error.contains("batch 1"), "{error}");
        }
        calibrator.observe(&model, &images(3, 3)).unwrap();
        assert_eq!(calibrator.batches(), 2);
        let want = calibrated(&*model, &[images(2, 1), images(3, 3)], &config);
        assert_eq!(calibrator.finish().unwrap(), want);
    }
}

#[test]
fn dynamic_activations_ask_for_one_batch() {
    let model = cnn();
    let config = QuantConfig::new(Activations::Dynamic);
    let endless = std::iter::repeat_with(|| Ok(images(1, 5)));
    let prepared = calibrate(&*model, endless, &config).unwrap();
    assert_eq!(prepared.batches(), 1);
    let folded: BTreeSet<&str> = prepared.foldable().collect();
    assert_eq!(folded, BTreeSet::from(["blocks.0.norm", "blocks.1.norm"]));
}

/// Two inputs, two outputs.
#[derive(Module, Clone)]
struct Twins {
    pixels: Conv2d,
    words: Linear,
    score: Linear,
}

impl Forward<(Var, Var)> for Twins {
    type Output = (Var, Vec<Var>);

    fn forward(&self, (image, text): &(Var, Var), ctx: &mut Ctx<'_>) -> Result<(Var, Vec<Var>)> {
        let image = self.pixels.forward(image, ctx)?.relu(ctx)?;
        let image = image.flatten(1, 3, ctx)?;
        let text = self.words.forward(text, ctx)?;
        Ok((self.score.forward(&image, ctx)?, vec![text]))
    }
}

#[test]
fn a_model_of_several_inputs_and_outputs_is_quantized_within_a_budget() {
    let init = &mut Init::seed(9);
    let mut model = Twins {
        pixels: Conv2d::new(1, 4, [3, 3], Default::default(), init).unwrap(),
        words: Linear::new(32, 8, init).unwrap(),
        score: Linear::new(4 * 36, 5, init).unwrap(),
    };
    let mut rng = Rng::seed(1);
    let mut pair = || {
        let image = Tensor::randn([6, 1, 8, 8], 1.0, &mut rng).unwrap();
        (Var::from(image), Var::from(Tensor::randn([6, 32], 1.0, &mut rng).unwrap()))
    };
    let (calibration, held_out) = ([pair(), pair()], [pair()]);
    let float = model.clone();
    let mut prices = Prices::table([1.0, 1.1, 1.4, 2.5, 3.0]);
    let config = QuantConfig::default().knowingly();
    let fast = {
        let mut model = model.clone();
        let silent = &mut |_, _| ();
        quantize_within(
            &mut model,
            Search {
                calibration: &calibration,
                held_out: &held_out,
                max_error: 1.0,
                config: &config,
                prices: &mut prices,
                has_classes: true,
            },
            silent,
        )
        .unwrap()
    };
    assert!(fast.is_within && fast.raised.is_empty() && fast.prices.is_empty());
    let budget = 0.8 * fast.error;
    let silent = &mut |_, _| ();
    let ladder = quantize_within(
        &mut model,
        Search {
            calibration: &calibration,
            held_out: &held_out,
            max_error: budget,
            config: &config,
            prices: &mut prices,
            has_classes: true,
        },
        silent,
    )
    .unwrap();
    assert!(!ladder.raised.is_empty(), "{ladder:?}");
    assert_eq!(ladder.prices.len(), 3);
    let of = |model: &Twins| {
        let (score, text) = model.forward(&held_out[0], &mut Ctx::eval()).unwrap();
        [score, text[0].clone()].map(Var::into_value)
    };
    let errors = of(&model).into_iter().zip(of(&float));
    let errors: Vec<f64> = errors.map(|(a, b)| relative_error(&a, &b).unwrap()).collect();
    assert!((errors[0].max(errors[1]) - ladder.error).abs() < 1e-12, "{errors:?} {ladder:?}");
}

#[test]
fn every_float_is_put_back_between_trials() {
    let mut model = cnn();
    // A user has frozen something, and the search must not thaw it.
    model.set_frozen("head", true);
    let before = digest_params(&*model).unwrap();
    let frozen = |model: &dyn Model| -> Vec<bool> {
        model
            .named_params()
            .into_iter()
            .map(|(_, param): (String, &Param)| param.is_frozen())
            .collect()
    };
    let was = frozen(&*model);
    let mut prices = Prices::table([1.0; 5]);
    let config = QuantConfig::default().knowingly();
    // The last held-out batch does not run, after the search has begun.
    let held_out = [images(2, 7), Var::from(Tensor::ones([2, 3]).unwrap())];
    let silent = &mut |_, _| ();
    quantize_within(
        &mut *model,
        Search {
            calibration: &batches(),
            held_out: &held_out,
            max_error: 1e-9,
            config: &config,
            prices: &mut prices,
            has_classes: true,
        },
        silent,
    )
    .unwrap_err();
    assert_eq!(digest_params(&*model).unwrap(), before);
    assert_eq!(frozen(&*model), was);
    assert!(model.named_flags().iter().all(|(_, folded)| !folded));
}
