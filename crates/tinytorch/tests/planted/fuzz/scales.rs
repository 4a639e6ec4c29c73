//! Scales of an int8 weight that are others, or none.

use super::drawn::Drawn;
use super::{Listed, Planted};
use tinytorch::Rng;

pub(super) const FAULTS: &[Listed] = &[
    ("scales a tenth too large", |d, rng| {
        changed(d, rng, |s, _| {
            s.iter_mut().for_each(|s| *s *= 1.1);
        })
    }),
    ("one scale half too large", |d, rng| changed(d, rng, |s, at| s[at] *= 1.5)),
    ("one scale half as large", |d, rng| changed(d, rng, |s, at| s[at] *= 0.5)),
    ("one scale a hundredth too small", |d, rng| changed(d, rng, |s, at| s[at] *= 0.99)),
    ("one scale for all rows", |d, rng| {
        changed(d, rng, |s, _| {
            let mean = s.iter().sum::<f32>() / s.len() as f32;
            s.fill(mean);
        })
    }),
    ("scales of the next row", |d, rng| changed(d, rng, |s, _| s.rotate_left(1))),
    ("scales rounded to powers of two", |d, rng| {
        changed(d, rng, |s, _| {
            s.iter_mut().for_each(|s| *s = s.log2().round().exp2());
        })
    }),
    ("the scale of another row", |d, rng| {
        changed(d, rng, |s, at| {
            // The one that differs most, so that there is something to notice.
            let far = |s: f32, of: f32| (s / of).ln().abs();
            let of = s[at];
            s[at] = s.iter().copied().fold(of, |a, b| if far(b, of) > far(a, of) { b } else { a });
        })
    }),
    ("a scale that is no number", |d, rng| refused(d, rng, f32::NAN)),
    ("a scale of 0", |d, rng| refused(d, rng, 0.0)),
    ("a scale below 0", |d, rng| refused(d, rng, -0.01)),
    ("a scale without end", |d, rng| refused(d, rng, f32::INFINITY)),
];

fn changed(drawn: &Drawn, rng: &mut Rng, change: fn(&mut [f32], usize)) -> Option<Planted> {
    let name = drawn.weight(rng);
    let path = drawn.edited(|file| {
        file.change(&format!("{name}_scale"), |scales: &mut [f32]| {
            let at = rng.below(scales.len());
            change(scales, at);
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}

fn refused(drawn: &Drawn, rng: &mut Rng, value: f32) -> Option<Planted> {
    let name = format!("{}_scale", drawn.weight(rng));
    let path = drawn.edited(|file| {
        file.change(&name, |scales: &mut [f32]| scales[rng.below(scales.len())] = value);
    })?;
    Some(Planted::file(&drawn.base, path, "structure", name))
}
