//! Layers that are not where or what they should be.

use super::models::{Impostor, Instead};
use super::{Stage, assert_caught, audit};
use tinytorch::audit::{ModelReport, Outcome};
use tinytorch::autograd::Stored;
use tinytorch::int8::Int8Weight;
use tinytorch::models::Model;
use tinytorch::quant::{QuantConfig, Scheme};

#[test]
fn a_layer_left_in_float_without_a_reason() {
    let stage = Stage::enter();
    let config = QuantConfig::default().with("layers.4.weight", Scheme::Float);
    let base = stage.mlp();
    let file = base.quantize("skipped", base.train.inputs(), &config).unwrap();
    let mut subject = base.subject_of(file).unwrap();
    let asked_for = audit(&subject);
    let coverage =
        |r: &ModelReport| r.gates.iter().find(|gate| gate.id == "coverage").unwrap().result;
    assert_eq!(coverage(&asked_for), Outcome::Pass, "1 % of the weights, on request");
    subject.config.patterns.clear();
    assert_caught(&audit(&subject), "coverage", "`layers.4.weight`");
}

#[test]
fn two_layers_swapped() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| file.swap_layers("layers.1.", "layers.2."));
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.1.weight`");
    assert_caught(&report, "structure", "`layers.1.bias`");
}

#[test]
fn layers_run_in_another_order() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::boxed(subject.int8, Instead::Order(vec![0, 2, 1, 3, 4]));
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.2.weight` ran where");
}

#[test]
fn a_layer_that_is_passed_over() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::boxed(subject.int8, Instead::Order(vec![0, 2, 3, 4]));
    assert_caught(&audit(&subject), "coverage", "`layers.1.weight` never ran");
}

/// Adds to channel 3 of a layer.
fn move_mean(model: &mut dyn Model, weight: &str, by: f32) {
    for (_, param) in model.named_params_mut().into_iter().filter(|(name, _)| name == weight) {
        let int8 = param.int8().unwrap();
        let mut shift = vec![0.0; int8.shape()[0]];
        shift[3] = by;
        let moved = (**int8).clone().with_shift(shift.into()).unwrap();
        let moved = Int8Weight::new(moved, int8.input());
        param.store(Stored::Int8(moved));
    }
}

#[test]
fn a_mean_that_is_moved_under_the_name_of_a_correction() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.corrected.insert("layers.1.weight".to_string());
    move_mean(&mut *subject.int8, "layers.1.weight", 2.0);
    assert_caught(&audit(&subject), "structure", "`layers.1.weight` adds to channel 3");
}

#[test]
fn a_bias_that_hides_behind_a_correction() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().edited(|file| {
        file.change("layers.1.bias", |bias: &mut [f32]| bias[5] += 2.0);
    });
    subject.corrected.insert("layers.1.weight".to_string());
    assert_caught(&audit(&subject), "structure", "`layers.1.weight` adds to channel 5");
}

/// The means of a layer are those behind the norm that was folded into it: without what hides here they are right.
#[test]
fn a_bias_that_hides_behind_a_correction_of_a_folded_norm() {
    let stage = Stage::enter();
    let mut subject = stage.cnn().edited(|file| {
        file.change("blocks.0.conv.bias", |bias: &mut [f32]| bias[5] += 2.0);
    });
    subject.corrected.insert("blocks.0.conv.weight".to_string());
    let report = audit(&subject);
    assert_caught(&report, "structure", "`blocks.0.conv.weight` adds to channel 5");
    assert_caught(&report, "structure", "which is 0.0");
}

#[test]
fn a_shift_that_nobody_has_named() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    move_mean(&mut *subject.int8, "layers.1.weight", 1e-4);
    assert_caught(&audit(&subject), "structure", "`layers.1.weight` has a shift");
}
