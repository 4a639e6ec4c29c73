//! Biases and norms, which quantizing leaves alone to the bit.

use super::drawn::Drawn;
use super::{Listed, Planted};
use tinytorch::Rng;

pub(super) const FAULTS: &[Listed] = &[
    ("one bit of a vector", |d, rng| {
        changed(d, rng, |v, at| {
            v[at] = f32::from_bits(v[at].to_bits() ^ 1);
        })
    }),
    ("a vector of zeros", |d, rng| changed(d, rng, |v, _| v.fill(0.0))),
    ("a vector with the other sign", |d, rng| {
        changed(d, rng, |v, _| {
            v.iter_mut().for_each(|v| *v = -*v);
        })
    }),
    ("a vector rounded to 16 bits", |d, rng| {
        changed(d, rng, |v, _| {
            v.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits() & 0xffff_0000));
        })
    }),
    ("a vector turned by one", |d, rng| changed(d, rng, |v, _| v.rotate_left(1))),
    ("a value that is no number", |d, rng| changed(d, rng, |v, at| v[at] = f32::NAN)),
    ("a bias that is said to have changed", alibi),
];

/// Changes one float parameter.
fn changed(drawn: &Drawn, rng: &mut Rng, change: fn(&mut [f32], usize)) -> Option<Planted> {
    let name = vector(drawn, rng);
    let path = drawn.edited(|file| {
        file.change(&name, |values: &mut [f32]| {
            let at = rng.below(values.len());
            change(values, at);
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}

/// A float parameter: a bias, or what a norm has.
fn vector(drawn: &Drawn, rng: &mut Rng) -> String {
    let contents = drawn.contents();
    let is_vector = |name: &str| {
        name.ends_with(".bias")
            || name.contains("running")
            || (name.contains("norm") && name.ends_with(".weight"))
    };
    let names: Vec<&String> =
        contents.tensors.iter().map(|(name, _)| name).filter(|name| is_vector(name)).collect();
    names[rng.below(names.len())].clone()
}

/// The record of quantizing names the bias as one that a batch norm has changed.
fn alibi(drawn: &Drawn, rng: &mut Rng) -> Option<Planted> {
    let name = vector(drawn, rng);
    let path = drawn.edited(|file| {
        file.change(&name, |values: &mut [f32]| values[rng.below(values.len())] += 0.25);
        file.rewrite("quantization", |record| {
            record
                .replacen("\"changed\":[", &format!("\"changed\":[\"{name}\","), 1)
                .replace(",]", "]")
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}
