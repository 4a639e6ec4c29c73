//! Batch norms that were folded wrongly.

use super::{Stage, assert_caught, audit};

#[test]
fn one_bit_of_a_bias_that_took_in_a_batch_norm() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        let flip = |b: &mut [f32]| b[3] = f32::from_bits(b[3].to_bits() ^ 1);
        file.change("blocks.0.conv.bias", flip);
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.conv.bias`");
}

#[test]
fn one_bit_of_a_folded_batch_norm() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        let flip = |v: &mut [f32]| v[0] = f32::from_bits(v[0].to_bits() ^ 1);
        file.change("blocks.1.norm.running_var", flip);
    });
    assert_caught(&audit(&subject), "structure", "`blocks.1.norm.running_var`");
}

#[test]
fn a_batch_norm_that_is_folded_and_does_not_say_so() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.rewrite("flags", |flags| {
            let without = flags.replace("\"blocks.0.norm.folded\",", "");
            assert_ne!(without, flags);
            without
        });
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.norm`");
}

#[test]
fn a_batch_norm_folded_into_the_weights_and_not_into_the_bias() {
    let stage = Stage::enter();
    let base = stage.cnn();
    let float = base.floats().values::<f32>("blocks.1.conv.bias");
    let subject = base.edited(|file| {
        file.change("blocks.1.conv.bias", |bias: &mut [f32]| bias.copy_from_slice(&float));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`blocks.1.conv.bias`");
    assert_caught(&report, "output_error", "`blocks.1.conv.weight`");
}

#[test]
fn a_batch_norm_folded_without_its_variance() {
    let stage = Stage::enter();
    let base = stage.cnn();
    let variance = base.floats().values::<f32>("blocks.0.norm.running_var");
    let subject = base.edited(|file| {
        file.change("blocks.0.conv.weight_scale", |scales: &mut [f32]| {
            scales.iter_mut().zip(&variance).for_each(|(s, v)| *s *= v.sqrt());
        });
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.conv.weight`");
}
