//! At fixed prices the ladder leaves the reference models where it always has.

use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::data::digits;
use tinytorch::models::Architecture;
use tinytorch::nn::Init;
use tinytorch::quant::{Activations, Prices, QuantConfig, RUNGS, Search, quantize_within};

/// Untrained models of seed 1: the activations, the budget, the error on 16 digits, and the rungs of the
/// layers that were raised, as found with prices from a table.
type Recorded = (Activations, f64, f64, &'static [(&'static str, usize)]);

const MLP: [Recorded; 6] = [
    (
        Activations::Static,
        0.0137,
        0.009912782265676752,
        &[("layers.1.weight", 1), ("layers.2.weight", 3)],
    ),
    (Activations::Static, 0.017, 0.015219572086172717, &[("layers.2.weight", 1)]),
    (Activations::Static, 0.02, 0.017215204512091648, &[]),
    (Activations::Static, 0.022, 0.01941680145261538, &[]),
    (Activations::Dynamic, 0.0187, 0.011979677863087837, &[]),
    (Activations::Dynamic, 0.02, 0.018439087938144576, &[]),
];

const ALL_OF_THE_CNN: &[(&str, usize)] = &[
    ("blocks.0.conv.weight", 4),
    ("blocks.1.conv.weight", 3),
    ("head.layers.0.weight", 3),
    ("head.layers.1.weight", 3),
];

const CNN: [Recorded; 3] = [
    (Activations::Static, 0.0137, 0.007728627889693385, ALL_OF_THE_CNN),
    (
        Activations::Dynamic,
        0.0187,
        0.01561016912429697,
        &[("head.layers.0.weight", 3), ("head.layers.1.weight", 3)],
    ),
    (Activations::Dynamic, 0.025, 0.023376586380726316, &[("head.layers.1.weight", 3)]),
];

fn climb_as_recorded(name: &str, recorded: &[Recorded]) {
    let digits = digits().unwrap();
    let calibration = digits.calibration(48, 3).unwrap();
    let held_out = digits.test.as_ref().unwrap().inputs().slice(0, 0..16).unwrap();
    let architecture = Architecture::preset(name).unwrap();
    let sample = architecture.example(1).unwrap();
    let shaped = |inputs: &Tensor| {
        let shape = [&[inputs.shape()[0]], &sample.shape().dims()[1..]].concat();
        Var::from(inputs.reshape(&shape[..]).unwrap())
    };
    for (activations, budget, error, raised) in recorded {
        let mut model = architecture.build(&mut Init::seed(1)).unwrap();
        let (calibration, held_out) = ([shaped(&calibration)], [shaped(&held_out)]);
        let config = QuantConfig::new(*activations).knowingly();
        let mut prices = Prices::table([1.0, 1.1, 1.4, 2.5, 3.0]);
        let silent = &mut |_, _| ();
        let ladder = quantize_within(
            &mut *model,
            Search {
                calibration: &calibration,
                held_out: &held_out,
                max_error: *budget,
                config: &config,
                prices: &mut prices,
                has_classes: true,
            },
            silent,
        );
        let ladder = ladder.unwrap();
        let want = raised.iter().map(|(name, rung)| (name.to_string(), RUNGS[*rung])).collect();
        assert_eq!(ladder.raised, want, "{name} {activations:?} {budget}");
        // The last bits of float layers depend on the instruction set.
        assert!((ladder.error / error - 1.0).abs() < 1e-4, "{name}: {} {error}", ladder.error);
        assert_eq!(ladder.is_within, error <= budget);
    }
}

#[test]
fn the_mlp_stands_where_it_stood() {
    climb_as_recorded("digits-mlp", &MLP);
}

#[test]
fn the_cnn_stands_where_it_stood() {
    climb_as_recorded("digits-cnn", &CNN);
}
