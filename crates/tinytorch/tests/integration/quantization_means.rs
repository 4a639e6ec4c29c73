//! What quantizing moves the means of channels by is taken off where that pays.

use tinytorch::autograd::{Ctx, Var};
use tinytorch::nn::{Forward, Init, Linear};
use tinytorch::quant::{Ladder, Prices, QuantConfig, Search, quantize_model, quantize_within};
use tinytorch::{Rng, Tensor};

/// Values around 3: what rounding leaves over of a row of weights moves all that its channel gives.
fn batch(seed: u64) -> Var {
    let noise = Tensor::randn([64, 64], 0.1, &mut Rng::seed(seed)).unwrap();
    Var::from(noise.add(&Tensor::full(3.0, [1]).unwrap()).unwrap())
}

fn float() -> Linear {
    Linear::new(64, 16, &mut Init::seed(1)).unwrap()
}

fn within(max_error: f64) -> (Linear, Ladder) {
    let (calibration, held_out) = ([batch(2), batch(3)], [batch(4)]);
    let (mut model, config) = (float(), QuantConfig::default());
    let prices = &mut Prices::table([1.0, 1.1, 1.4, 2.5, 3.0]);
    let search = Search {
        calibration: &calibration,
        held_out: &held_out,
        max_error,
        config: &config,
        prices,
        has_classes: true,
    };
    let ladder = quantize_within(&mut model, search, &mut |_, _| ()).unwrap();
    (model, ladder)
}

/// How far the mean of a channel is from the float model's, at most.
fn furthest_mean(int8: &Linear) -> f32 {
    let mean = |model: &Linear| {
        let means = [2, 3].map(|seed| {
            let y = model.forward(&batch(seed), &mut Ctx::eval()).unwrap();
            y.value().mean_axis(0, false).unwrap().to_vec::<f32>().unwrap()
        });
        means[0].iter().zip(&means[1]).map(|(a, b)| 0.5 * (a + b)).collect::<Vec<_>>()
    };
    let pairs = mean(int8).into_iter().zip(mean(&float()));
    pairs.map(|(int8, float)| (int8 - float).abs()).fold(0.0, f32::max)
}

#[test]
fn every_channel_gets_the_mean_that_it_has_in_the_float_model() {
    let (model, ladder) = within(0.05);
    assert_eq!(ladder.report.corrected, ["weight"]);
    assert!(ladder.is_within && ladder.raised.is_empty(), "{ladder:?}");
    let mut rounded = float();
    let calibration = [batch(2), batch(3)].map(Ok);
    quantize_model(&mut rounded, calibration, &QuantConfig::default()).unwrap();
    let (with, without) = (furthest_mean(&model), furthest_mean(&rounded));
    assert!(with < 1e-5 && without > 1e-3, "{with} and {without}");
}

#[test]
fn a_model_that_is_within_its_budget_is_rounded_and_nothing_else() {
    let (model, ladder) = within(0.9);
    assert!(ladder.report.corrected.is_empty());
    assert!(model.weight.int8().unwrap().shift().is_none());
}
