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

    /// Of an activation, and of the levels it is quantized to if their range is fixed.
    ///
    /// # Errors
    /// Unless the activation is f32.
    pub(super) fn of_activation(activation: &Tensor, input: Encoding) -> Result<Distribution> {
        let values = activation.to_vec::<f32>()?;
        let range = match input {
            Encoding::Static(params) => Some(activation_range(&values, params)),
            Encoding::F32 | Encoding::PerRow | Encoding::PerRow16 => None,
        };
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
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            counts[((share * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        Distribution { low, high, counts, int8 }
    }
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
    let (rows, dequantized) = (int8.panels().n(), int8.dequantize()?.to_vec::<f32>()?);
    let mut row = vec![0i8; int8.panels().k()];
    let (mut used, mut clipped) = ([false; 256], 0usize);
    for i in 0..rows {
        int8.row_into(i, &mut row)?;
        let start = i * row.len();
        let pairs = values.iter().skip(start).zip(dequantized.iter().skip(start));
        for (&level, (&value, &held)) in row.iter().zip(pairs) {
            used[usize::from(level.cast_unsigned())] = true;
            let step = f64::from(held.abs()) / LARGEST;
            let beyond = f64::from(value.abs()) - f64::from(held.abs());
            clipped += usize::from(level.unsigned_abs() >= 127 && beyond > step / 2.0);
        }
    }
    Ok(Int8Range {
        min: -max,
        max,
        narrowest_max,
        clipped_percent: percent(clipped, values.len()),
        levels_used: used.iter().filter(|&&used| used).count(),
        levels: 255,
    })
}

fn activation_range(values: &[f32], params: QParams) -> Int8Range {
    let (min, max) = (f64::from(params.dequantize(0)), f64::from(params.dequantize(255)));
    let half = f64::from(params.scale) / 2.0;
    let (mut used, mut clipped) = ([false; 256], 0usize);
    for &value in values.iter().filter(|v| !v.is_nan()) {
        used[usize::from(params.quantize(value))] = true;
        let value = f64::from(value);
        clipped += usize::from(value < min - half || value > max + half);
    }
    Int8Range {
        min,
        max,
        narrowest_max: max,
        clipped_percent: percent(clipped, values.len()),
        levels_used: used.iter().filter(|&&used| used).count(),
        levels: 256,
    }
}

fn percent(part: usize, whole: usize) -> f64 {
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

    #[test]
    fn an_activation_outside_the_calibrated_range_is_clipped() {
        let params = QParams::from_range(0.0, 1.0).unwrap();
        let values = vec![-0.5, 0.0, 0.5, 1.0, 1.001, 4.0, f32::NAN, f32::INFINITY];
        let activation = Tensor::from_vec(values, [8]).unwrap();
        let of = Distribution::of_activation(&activation, Encoding::Static(params)).unwrap();
        assert_eq!((of.low, of.high), (-0.5, 4.0));
        assert_eq!(of.counts.iter().sum::<u64>(), 6);
        let range = of.int8.unwrap();
        assert_eq!((range.clipped_percent, range.levels_used), (37.5, 3));
        let dynamic = Distribution::of_activation(&activation, Encoding::PerRow).unwrap();
        assert_eq!(dynamic.int8, None);
    }

    #[test]
    fn constants_huge_values_and_nothing_at_all_have_a_distribution() {
        let of = |values: Vec<f32>| {
            let n = values.len();
            let tensor = Tensor::from_vec(values, [n]).unwrap();
            Distribution::of_activation(&tensor, Encoding::F32).unwrap()
        };
        assert_eq!(of(vec![1e30; 3]).counts[BINS / 2], 3);
        let widest = of(vec![f32::MIN, f32::MAX]);
        assert_eq!((widest.counts[0], widest.counts[BINS - 1]), (1, 1));
        assert!(of(vec![f32::NAN]).counts.is_empty());
    }
}
