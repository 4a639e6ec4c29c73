//! Layers that are not where or what they should be.

use super::models::{Impostor, Instead};
use super::{Stage, assert_caught, audit};
use tinytorch::audit::{ModelReport, Outcome};
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
