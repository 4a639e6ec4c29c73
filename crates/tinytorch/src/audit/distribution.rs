//! How values lie over the range that int8 can hold.

use crate::Result;
use crate::int8::{Encoding, QWeight, Scales};
use crate::tensor::Tensor;
use serde::Serialize;
use tinytorch_kernels::int8::QParams;

/// Bins of a histogram: fine enough to show a tail, coarse enough for a report.
const BINS: usize = 48;

/// How the values of a tensor lie over the range that int8 can hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Lower end of the first bin.
    pub low: f64,
    /// Upper end of the last bin.
    pub high: f64,
    /// Finite values in each of the bins, which are equally wide.
    pub counts: Vec<u64>,
    /// What int8 makes of the values; `None` if they stay floats, or have a range for each row.
    pub int8: Option<Int8Range>,
}

/// The range that int8 covers, and what the values make of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Int8Range {
    /// The smallest value it holds; of a weight with several scales, with the largest of them.
    pub min: f64,
    /// The largest value it holds.
    pub max: f64,
    /// The largest value that the smallest scale of a weight holds; as `max` if there is one scale.
    pub narrowest_max: f64,
    /// Values more than half a step outside, in percent.
    pub clipped_percent: f64,
    /// Levels that occur.
    pub levels_used: usize,
    /// Levels that could: 255 of a weight, 256 of an activation.
    pub levels: usize,
}

impl Distribution {
    /// Of a float weight, and of what was made of it if that is int8.
    ///
    /// # Errors
    /// Unless the weight is f32, and of the same shape as its int8 form.
    pub(super) fn of_weight(weight: &Tensor, int8: Option<&QWeight>) -> Result<Distribution> {
        let values = weight.to_vec::<f32>()?;
        let range = int8.map(|int8| weight_range(&values, int8)).transpose()?;
        Ok(Distribution::new(&values, range))
    }

    fn new(values: &[f32], int8: Option<Int8Range>) -> Distribution {
        let finite = || values.iter().map(|&v| f64::from(v)).filter(|v| v.is_finite());
        let ends = int8.iter().flat_map(|range| [range.min, range.max]);
        let (low, high) = finite()
            .chain(ends)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Distribution { low: 0.0, high: 0.0, counts: Vec::new(), int8 };
        }
        let mut counts = vec![0; BINS];
        for value in finite() {
            counts[bin(value, low, high)] += 1;
        }
        Distribution { low, high, counts, int8 }
    }
}

fn bin(value: f64, low: f64, high: f64) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share * BINS as f64) as usize).min(BINS - 1)
}

/// The distribution of an activation, from one batch after the other.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    low: f64,
    high: f64,
    counts: Vec<u64>,
    /// The levels it is quantized to, if their range is fixed.
    params: Option<QParams>,
    used: [bool; 256],
    clipped: usize,
    seen: usize,
}

impl Gathered {
    /// Of an activation that lies in this range, and is quantized like this.
    pub(super) fn new((low, high): (f32, f32), input: Encoding) -> Gathered {
        let params = match input {
            Encoding::Static(params) => Some(params),
            Encoding::F32 | Encoding::PerRow | Encoding::PerRow16 => None,
        };
        let ends = params.map(|params| [params.dequantize(0), params.dequantize(255)]);
        let ends = ends.iter().flatten().copied();
        let (low, high) = ends.fold((low, high), |(low, high), end| (low.min(end), high.max(end)));
        let (low, high, counts) = (f64::from(low), f64::from(high), vec![0; BINS]);
        Gathered { low, high, counts, params, used: [false; 256], clipped: 0, seen: 0 }
    }

    /// Takes in a batch.
    pub(super) fn add(&mut self, values: &[f32]) {
        for &value in values {
            if value.is_finite() {
                self.counts[bin(f64::from(value), self.low, self.high)] += 1;
            }
            if let Some(params) = self.params.filter(|_| !value.is_nan()) {
                self.used[usize::from(params.quantize(value))] = true;
            }
        }
        self.clipped += self.params.map_or(0, |params| clipped(values, params));
        self.seen += values.len();
    }

    /// What has been gathered.
    pub(super) fn finish(self) -> Distribution {
        let int8 = self.params.map(|params| {
            let (min, max) = (f64::from(params.dequantize(0)), f64::from(params.dequantize(255)));
            Int8Range {
                min,
                max,
                narrowest_max: max,
                clipped_percent: percent(self.clipped, self.seen),
                levels_used: self.used.iter().filter(|&&used| used).count(),
                levels: 256,
            }
        });
        if self.low > self.high {
            return Distribution { low: 0.0, high: 0.0, counts: Vec::new(), int8 };
        }
        Distribution { low: self.low, high: self.high, counts: self.counts, int8 }
    }
}

/// How many values lie more than half a step outside of what the levels stand for.
pub(super) fn clipped(values: &[f32], params: QParams) -> usize {
    let (min, max) = (f64::from(params.dequantize(0)), f64::from(params.dequantize(255)));
    let half = f64::from(params.scale) / 2.0;
    let outside = |value: &&f32| {
        let value = f64::from(**value);
        value < min - half || value > max + half
    };
    values.iter().filter(outside).count()
}

fn weight_range(values: &[f32], int8: &QWeight) -> Result<Int8Range> {
    const LARGEST: f64 = 127.0;
    let scales: Vec<f64> = match int8.scales() {
        Scales::PerTensor(scale) => vec![f64::from(*scale)],
        Scales::PerChannel(scales) => scales.iter().map(|&s| f64::from(s)).collect(),
        Scales::Blocks(scales) => scales.iter().map(|s| f64::from(s.to_f32())).collect(),
    };
    let max = LARGEST * scales.iter().copied().fold(0.0, f64::max);
    let narrowest_max = LARGEST * scales.iter().copied().fold(f64::INFINITY, f64::min);
    let zero_points = int8.zero_points();
    let end = |level: i8| {
        let steps = zero_points.iter().map(move |zero| f64::from(level) - f64::from(*zero));
        steps.zip(scales.iter().cycle()).map(|(steps, scale)| steps * scale)
    };
    let (min, max, narrowest_max) = match zero_points {
        [] => (-max, max, narrowest_max),
        _ => {
            let max = end(i8::MAX).fold(f64::NEG_INFINITY, f64::max);
            (end(i8::MIN).fold(f64::INFINITY, f64::min), max, max)
        }
    };
    let (rows, dequantized) = (int8.panels().n(), int8.dequantize()?.to_vec::<f32>()?);
    let mut row = vec![0i8; int8.panels().k()];
    let (mut used, mut clipped) = ([false; 256], 0usize);
    for i in 0..rows {
        int8.row_into(i, &mut row)?;
        let start = i * row.len();
        let pairs = values.iter().skip(start).zip(dequantized.iter().skip(start));
        let own = zero_points.get(i).map(|_| scales[i % scales.len()]);
        for (&level, (&value, &held)) in row.iter().zip(pairs) {
            used[usize::from(level.cast_unsigned())] = true;
            let step = own.unwrap_or(f64::from(held.abs()) / LARGEST);
            let beyond = f64::from(value - held) * f64::from(level.signum());
            clipped += usize::from(level.unsigned_abs() >= 127 && beyond > step / 2.0);
        }
    }
    Ok(Int8Range {
        min,
        max,
        narrowest_max,
        clipped_percent: percent(clipped, values.len()),
        levels_used: used.iter().filter(|&&used| used).count(),
        levels: if zero_points.is_empty() { 255 } else { 256 },
    })
}

/// A share in percent; 0 of nothing.
pub(super) fn percent(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::Granularity;

    #[test]
    fn a_weight_is_never_clipped_by_the_scales_made_for_it() {
        let weight = Tensor::from_vec(vec![1.0, -0.5, 0.25, 0.0, 10.0, -10.0], [2, 3]).unwrap();
        let int8 = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let of = Distribution::of_weight(&weight, Some(&int8)).unwrap();
        assert_eq!(of.counts.iter().sum::<u64>(), 6);
        let range = of.int8.unwrap();
        assert_eq!((range.clipped_percent, range.levels), (0.0, 255));
        // 127, -64, 32 of the first row; 0, 127, -127 of the second.
        assert_eq!(range.levels_used, 5);
        assert!((range.max - 10.0).abs() < 1e-5 && (range.narrowest_max - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_weight_beyond_its_scale_is_clipped() {
        let quantized = Tensor::from_vec(vec![1.0, 0.5], [1, 2]).unwrap();
        let int8 = QWeight::quantize(&quantized, Granularity::PerTensor).unwrap();
        let weight = Tensor::from_vec(vec![2.0, 0.5], [1, 2]).unwrap();
        let range = Distribution::of_weight(&weight, Some(&int8)).unwrap().int8.unwrap();
        assert_eq!(range.clipped_percent, 50.0);
    }

    /// The distribution of values that come in two batches.
    fn of_activation(values: &[f32], input: Encoding) -> Distribution {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let range = finite()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let mut gathered = Gathered::new(range, input);
        let (a, b) = values.split_at(values.len() / 2);
        gathered.add(a);
        gathered.add(b);
        gathered.finish()
    }

    #[test]
    fn an_activation_outside_the_calibrated_range_is_clipped() {
        let params = QParams::from_range(0.0, 1.0).unwrap();
        let values = [-0.5, 0.0, 0.5, 1.0, 1.001, 4.0, f32::NAN, f32::INFINITY];
        let of = of_activation(&values, Encoding::Static(params));
        assert_eq!((of.low, of.high), (-0.5, 4.0));
        assert_eq!(of.counts.iter().sum::<u64>(), 6);
        let range = of.int8.unwrap();
        assert_eq!((range.clipped_percent, range.levels_used), (37.5, 3));
        assert_eq!(of_activation(&values, Encoding::PerRow).int8, None);
    }

    #[test]
    fn constants_huge_values_and_nothing_at_all_have_a_distribution() {
        let of = |values: Vec<f32>| of_activation(&values, Encoding::F32);
        assert_eq!(of(vec![1e30; 3]).counts[BINS / 2], 3);
        let widest = of(vec![f32::MIN, f32::MAX]);
        assert_eq!((widest.counts[0], widest.counts[BINS - 1]), (1, 1));
        assert!(of(vec![f32::NAN]).counts.is_empty());
    }
}
