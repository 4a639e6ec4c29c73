//! Wrong numbers in a weight, its scales or its bias.

use super::contents::Contents;
use super::{Stage, assert_caught, audit};
use tinytorch::Tensor;
use tinytorch::audit::Outcome;

#[test]
fn scales_along_the_wrong_axis() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        let (floats, _) = dequantized(file, "layers.1.weight");
        let magnitude = |j: usize| (0..128).map(|i| floats[i * 128 + j].abs()).fold(0.0, f32::max);
        let scales: Vec<f32> = (0..128).map(|j| magnitude(j) / 127.0).collect();
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for (at, level) in levels.iter_mut().enumerate() {
                *level = (floats[at] / scales[at % 128]).round() as i8;
            }
        });
        file.change("layers.1.weight_scale", |to: &mut [f32]| to.copy_from_slice(&scales));
    });
    assert_caught(&audit(&subject), "structure", "`layers.1.weight`");
}

#[test]
fn scales_of_two_channels_swapped() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("blocks.1.conv.weight_scale", |scales: &mut [f32]| scales.swap(2, 9));
    });
    assert_caught(&audit(&subject), "structure", "`blocks.1.conv.weight`");
}

#[test]
fn scales_off_by_a_tenth() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.2.weight_scale", |s: &mut [f32]| s.iter_mut().for_each(|s| *s *= 1.1));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.2.weight`");
    assert_caught(&report, "output_error", "`layers.2.weight`");
}

#[test]
fn one_bit_of_a_bias() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.2.bias", |b: &mut [f32]| b[5] = f32::from_bits(b[5].to_bits() ^ 1));
    });
    assert_caught(&audit(&subject), "structure", "`layers.2.bias`");
}

#[test]
fn biases_rounded_to_16_bits() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.0.bias", |bias: &mut [f32]| {
            bias.iter_mut().for_each(|b| *b = f32::from_bits(b.to_bits() & 0xffff_0000));
        });
    });
    assert_caught(&audit(&subject), "structure", "`layers.0.bias`");
}

#[test]
fn a_transposed_weight() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for i in 0..128 {
                for j in 0..i {
                    levels.swap(i * 128 + j, j * 128 + i);
                }
            }
        });
    });
    assert_caught(&audit(&subject), "structure", "`layers.1.weight`");
}

#[test]
fn classes_in_another_order() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.4.weight", |levels: &mut [i8]| levels.rotate_left(63));
        file.change("layers.4.weight_scale", |scales: &mut [f32]| scales.rotate_left(1));
        file.change("layers.4.bias", |bias: &mut [f32]| bias.rotate_left(1));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.4.weight`");
    assert_caught(&report, "accuracy", "");
    assert_caught(&report, "agreement", "");
}

#[test]
fn weights_rounded_down_and_not_to_the_nearest_level() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let mut float = base.floats();
    let floats = float.values::<f32>("layers.1.weight");
    let subject = base.edited(|file| {
        let scales = file.values::<f32>("layers.1.weight_scale");
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for (at, level) in levels.iter_mut().enumerate() {
                *level = (floats[at] / scales[at / 128]).floor().clamp(-127.0, 127.0) as i8;
            }
        });
    });
    assert_caught(&audit(&subject), "output_error", "`layers.1.weight`");
}

#[test]
fn four_bits_sold_as_eight() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("head.layers.0.weight", |levels: &mut [i8]| {
            levels.iter_mut().for_each(|q| *q = (f32::from(*q) / 16.0).round() as i8 * 15);
        });
    });
    assert_caught(&audit(&subject), "output_error", "`head.layers.0.weight`");
}

/// Zero points that are left out, or taken off with the other sign.
#[test]
fn zero_points_of_weights() {
    let stage = Stage::enter();
    let floats: Vec<f32> = stage.mlp().floats().values("layers.1.weight");
    let judged = |plant: fn(i8) -> Option<i8>| {
        audit(&stage.mlp().edited(|file| {
            let zero_points = off_center(file, "layers.1.weight", &floats);
            if let Some(levels) = zero_points.into_iter().map(plant).collect::<Option<Vec<i8>>>() {
                let levels = Tensor::from_vec(levels, [128]).unwrap();
                // Where the library writes them: bytes lie behind wider numbers.
                let weight = |(name, _): &(String, Tensor)| name == "layers.1.weight";
                let at = file.tensors.iter().position(weight).unwrap() + 1;
                file.tensors.insert(at, ("layers.1.weight_zero_point".to_string(), levels));
            }
        }))
    };
    let sound = judged(Some);
    let failed: Vec<_> = sound.gates.iter().filter(|gate| gate.result == Outcome::Fail).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let culprit = "`layers.1.weight` does not stand for its floats: row";
    for (plant, told) in [
        ((|_| None) as fn(i8) -> Option<i8>, "as by a zero point of 0 instead of"),
        (|level| Some(level.saturating_neg()), "as by a zero point of"),
    ] {
        let report = judged(plant);
        assert_caught(&report, "structure", culprit);
        assert_caught(&report, "structure", told);
        assert_caught(&report, "output_error", "`layers.1.weight`");
    }
}

/// Makes levels of a weight over the whole range of each row. Gives the levels that stand for 0.
fn off_center(file: &mut Contents, name: &str, floats: &[f32]) -> Vec<i8> {
    let rows = file.values::<f32>(&format!("{name}_scale")).len();
    let (mut scales, mut zero_points, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    for row in floats.chunks(floats.len() / rows) {
        let low = row.iter().copied().fold(0.0, f32::min);
        let scale = (row.iter().copied().fold(0.0, f32::max) - low) / 255.0;
        let zero_point = (-128.0 - low / scale).round();
        levels.extend(row.iter().map(|v| ((v / scale).round() + zero_point) as i8));
        scales.push(scale);
        zero_points.push(zero_point as i8);
    }
    file.change(name, |to: &mut [i8]| to.copy_from_slice(&levels));
    file.change(&format!("{name}_scale"), |to: &mut [f32]| to.copy_from_slice(&scales));
    zero_points
}

/// The floats that the levels of a weight stand for, and its scales, one for each row.
fn dequantized(file: &mut Contents, name: &str) -> (Vec<f32>, Vec<f32>) {
    let levels = file.values::<i8>(name);
    let scales = file.values::<f32>(&format!("{name}_scale"));
    let k = levels.len() / scales.len();
    let floats = levels.iter().enumerate().map(|(at, &q)| f32::from(q) * scales[at / k]);
    (floats.collect(), scales)
}
