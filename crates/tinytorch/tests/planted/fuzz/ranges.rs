//! Fixed ranges of activations that do not fit what they hold. Whether one does harm depends on what it holds.

use super::drawn::Drawn;
use super::{Listed, Planted};
use tinytorch::quant::QuantConfig;
use tinytorch::{Rng, Tensor};

pub(super) const FAULTS: &[Listed] = &[
    ("a zero point 64 too high", |d, rng| zero_point(d, rng, |zero| zero.wrapping_add(64))),
    ("a zero point for values of the other sign", |d, rng| zero_point(d, rng, |zero| 255 - zero)),
    ("a range eight times as wide", |d, rng| scale(d, rng, 8.0)),
    ("a range a quarter as wide", |d, rng| scale(d, rng, 0.25)),
    ("ranges of two layers exchanged", exchanged),
    ("ranges of dimmer samples", dimmer),
];

/// A layer whose input has a fixed range.
fn layer(drawn: &Drawn, rng: &mut Rng) -> Option<String> {
    let contents = drawn.contents();
    let layers = contents.tensors.iter().filter_map(|(name, _)| name.strip_suffix(".input_scale"));
    let layers: Vec<&str> = layers.collect();
    if layers.is_empty() {
        return None;
    }
    Some(layers[rng.below(layers.len())].to_string())
}

fn zero_point(drawn: &Drawn, rng: &mut Rng, change: fn(u8) -> u8) -> Option<Planted> {
    let layer = layer(drawn, rng)?;
    let path = drawn.edited(|file| {
        file.change(&format!("{layer}.input_zero_point"), |zero: &mut [u8]| {
            zero[0] = change(zero[0]);
        });
    })?;
    let planted = Planted::file(&drawn.base, path, "output_error", format!("`{layer}.weight`"));
    Some(Planted { is_certain: false, ..planted })
}

fn scale(drawn: &Drawn, rng: &mut Rng, factor: f32) -> Option<Planted> {
    let layer = layer(drawn, rng)?;
    let path = drawn.edited(|file| {
        file.change(&format!("{layer}.input_scale"), |scale: &mut [f32]| scale[0] *= factor);
    })?;
    let planted = Planted::file(&drawn.base, path, "output_error", format!("`{layer}.weight`"));
    Some(Planted { is_certain: false, ..planted })
}

fn exchanged(drawn: &Drawn, rng: &mut Rng) -> Option<Planted> {
    let (a, b) = (layer(drawn, rng)?, layer(drawn, rng)?);
    let path = drawn.edited(|file| {
        for part in ["input_scale", "input_zero_point"] {
            let (a, b) = (format!("{a}.{part}"), format!("{b}.{part}"));
            let (of_a, of_b) = (file.tensor(&a).clone(), file.tensor(&b).clone());
            *file.tensor(&a) = of_b;
            *file.tensor(&b) = of_a;
        }
    })?;
    let planted = Planted::file(&drawn.base, path, "output_error", "weight`");
    Some(Planted { is_certain: false, ..planted })
}

fn dimmer(drawn: &Drawn, rng: &mut Rng) -> Option<Planted> {
    layer(drawn, rng)?;
    let images = drawn.base.train.inputs();
    let dim: Vec<f32> = images.to_vec::<f32>().unwrap().into_iter().map(|v| v * 0.3).collect();
    let dim = Tensor::from_vec(dim, *images.shape()).unwrap();
    let path = drawn.base.quantize("dim", &dim, &QuantConfig::default()).unwrap();
    let planted = Planted::file(&drawn.base, path, "output_error", "weight`");
    Some(Planted { is_certain: false, ..planted })
}
