//! Which entries of an axis make an entry of the resized one.

use super::{Interpolation, Place, Resize, Rounding};

/// How an axis is resized.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) scale: f64,
    pub(super) crop: [f64; 2],
}

/// The entries that make an entry of the result, from `first` on, before they are moved into the axis.
struct Taps {
    first: i64,
    weights: Vec<f64>,
}

impl Axis {
    /// Whether every entry stays where it is.
    pub(super) fn is_kept(&self, place: Place) -> bool {
        self.from == self.to && self.scale == 1.0 && place != Place::Crop
    }
}

impl Rounding {
    /// The entry that a place is rounded to, which may lie beside the axis.
    fn entry(self, at: f64) -> i64 {
        let rounded = match self {
            Rounding::HalfDown => (at - 0.5).ceil(),
            Rounding::HalfUp => (at + 0.5).floor(),
            Rounding::Down => at.floor(),
            Rounding::Up => at.ceil(),
        };
        rounded as i64
    }
}

impl Resize {
    /// Where entry `i` lies.
    fn place(&self, axis: &Axis, i: usize) -> f64 {
        let Axis { from, to, scale, crop: [start, end] } = *axis;
        if axis.is_kept(self.place) {
            return i as f64;
        }
        let (i, last) = (i as f64, from as f64 - 1.0);
        let half_pixel = (i + 0.5) / scale - 0.5;
        match self.place {
            Place::HalfPixel => half_pixel,
            Place::HalfPixelSymmetric => {
                let center = from as f64 / 2.0;
                center * (1.0 - to as f64 / (scale * from as f64)) + half_pixel
            }
            Place::HalfPixelOrFirst => {
                if to == 1 {
                    0.0
                } else {
                    half_pixel
                }
            }
            Place::AlignCorners => {
                // Scales that do not fit the sizes count as they are.
                let spread = scale * from as f64 - 1.0;
                if to == 1 || spread <= 0.0 { 0.0 } else { i * last / spread }
            }
            Place::Asymmetric => i / scale,
            Place::Crop if to == 1 => (start + end) * last / 2.0,
            Place::Crop => start * last + i * (end - start) * last / (to as f64 - 1.0),
        }
    }

    /// The entry that entry `i` of the result is rounded to, unless it lies outside of a crop.
    pub(super) fn nearest_entry(&self, rounding: Rounding, axis: &Axis, i: usize) -> Option<usize> {
        let last = axis.from.saturating_sub(1);
        let entry = rounding.entry(self.place_inside(axis, i)?);
        Some(entry.clamp(0, last as i64) as usize)
    }

    /// Where entry `i` lies, unless that is outside of a crop.
    fn place_inside(&self, axis: &Axis, i: usize) -> Option<f64> {
        let (at, last) = (self.place(axis, i), axis.from.saturating_sub(1));
        (self.place != Place::Crop || (0.0..=last as f64).contains(&at)).then_some(at)
    }

    fn taps(&self, axis: &Axis, at: f64) -> Taps {
        // The last entry before the place, and how far behind that it is, up to and including 1.
        let before = at.ceil() - 1.0;
        let past = at - before;
        let shrinks = if self.antialias { axis.scale.min(1.0) } else { 1.0 };
        // No window needs more entries than the axis has on either side.
        let widest = -2.0 * (axis.from as f64 + 1.0);
        let mut taps = match self.interpolation {
            Interpolation::Nearest(rounding) => {
                Taps { first: rounding.entry(at), weights: vec![1.0] }
            }
            Interpolation::Linear => {
                let start = ((-1.0 / shrinks).floor() + 1.0).max(widest);
                let weight = |k: f64| (1.0 - ((k - past) * shrinks).abs()).clamp(0.0, 1.0);
                window(before, start, 2.0 - 2.0 * start, weight)
            }
            Interpolation::Cubic { a } => {
                let a = f64::from(a);
                let start = ((-2.0 / shrinks).floor() + 1.0).max(widest);
                let weight = |k: f64| cubic(a, ((k - past) * shrinks).abs());
                window(before, start, 2.0 - 2.0 * start, weight)
            }
        };
        if self.exclude_outside {
            let inside = 0..axis.from as i64;
            let first = taps.first;
            for (k, weight) in taps.weights.iter_mut().enumerate() {
                if !inside.contains(&(first + k as i64)) {
                    *weight = 0.0;
                }
            }
        }
        let sum: f64 = taps.weights.iter().sum();
        if sum != 0.0 {
            taps.weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        taps
    }

    /// Every entry of an axis: the weighted entries that make it, or none where it lies outside of a crop.
    pub(super) fn entries(&self, axis: &Axis) -> Vec<Vec<(usize, f32)>> {
        let last = axis.from.saturating_sub(1) as i64;
        let entry = |i: usize| {
            let Some(at) = self.place_inside(axis, i) else {
                return Vec::new();
            };
            let taps = self.taps(axis, at);
            let tap = |(k, weight): (usize, &f64)| {
                ((taps.first + k as i64).clamp(0, last) as usize, *weight as f32)
            };
            taps.weights.iter().enumerate().map(tap).collect()
        };
        (0..axis.to).map(entry).collect()
    }
}

/// The weights of `count` entries from `start` after the entry `before` on.
fn window(before: f64, start: f64, count: f64, weight: impl Fn(f64) -> f64) -> Taps {
    let weights = (0..count as usize).map(|k| weight(start + k as f64)).collect();
    Taps { first: (before + start) as i64, weights }
}

fn cubic(a: f64, x: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
