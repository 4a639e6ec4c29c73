//! Wrong ranges of activations.

use super::{Stage, assert_caught, audit};
use tinytorch::Tensor;
use tinytorch::audit::{AuditOptions, Budget, audit_model};
use tinytorch::quant::QuantConfig;

#[test]
fn a_zero_point_clipped_to_zero() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.0.input_zero_point", |zero: &mut [u8]| zero[0] = 0);
    });
    assert_caught(&audit(&subject), "output_error", "`layers.0.weight`");
}

#[test]
fn a_zero_point_for_signed_values_where_there_are_none() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("blocks.1.conv.input_zero_point", |zero: &mut [u8]| zero[0] = 128);
    });
    assert_caught(&audit(&subject), "output_error", "`blocks.1.conv.weight`");
}

#[test]
fn ranges_calibrated_on_dimmer_images() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let images = base.train.inputs();
    let dim: Vec<f32> = images.to_vec::<f32>().unwrap().into_iter().map(|v| v * 0.4).collect();
    let dim = Tensor::from_vec(dim, *images.shape()).unwrap();
    let file = base.quantize("stale", &dim, &QuantConfig::default()).unwrap();
    let report = audit(&base.subject_of(file).unwrap());
    assert_caught(&report, "output_error", "`layers.0.weight`");
}

#[test]
fn ranges_far_wider_than_what_they_hold() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("head.layers.0.input_scale", |scale: &mut [f32]| scale[0] *= 20.0);
    });
    assert_caught(&audit(&subject), "output_error", "`head.layers.0.weight`");
}

/// What a layer adds is judged by what rounding explains, however much the whole model may be off.
#[test]
fn ranges_that_are_too_wide_within_the_budget() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("head.layers.0.input_scale", |scale: &mut [f32]| scale[0] *= 4.0);
    });
    let budget = Budget { max_error: 1.0, float_floor: Some(90.0) };
    let report = audit_model(&subject, &budget, &AuditOptions::default()).unwrap();
    assert_caught(&report, "output_error", "`head.layers.0.weight` adds");
    assert_caught(&report, "output_error", "where rounding explains");
}
