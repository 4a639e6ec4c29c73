//! Ranges of activations, from a stream of values: what static quantization is calibrated with.
//!
//! An estimator takes values as they come, holds a bounded amount of memory, and merges with another
//! that saw other data, in any order, to the same result.
//!
//! ```
//! use tinytorch::quant::{RangeEstimator, RangeMethod};
//! let mut a = RangeEstimator::new(RangeMethod::MinMax);
//! a.observe(&[1.0, 2.0]);
//! let mut b = RangeEstimator::new(RangeMethod::MinMax);
//! b.observe(&[-3.0]);
//! a.merge(&b)?;
//! assert_eq!(a.range(), Some((-3.0, 2.0)));
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod histogram;

use super::QuantError;
use crate::Result;
use crate::int8::QParams;
use histogram::Histogram;
use serde::{Deserialize, Serialize};

/// How the range of an activation is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeMethod {
    /// From the smallest to the largest value seen.
    #[default]
    MinMax,
    /// Without the given share of values (such as 0.0001) at each end, which are clipped.
    Percentile(f64),
    /// The range with the least squared error of the values seen.
    Mse,
}

/// Estimates the range of a stream of finite values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Told")]
pub struct RangeEstimator {
    method: RangeMethod,
    extremes: Option<(f32, f32)>,
    histogram: Option<Histogram>,
}

/// An estimator in a file, which may tell anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    method: RangeMethod,
    extremes: Option<(f32, f32)>,
    histogram: Option<Histogram>,
}

impl TryFrom<Told> for RangeEstimator {
    type Error = &'static str;

    fn try_from(told: Told) -> Result<RangeEstimator, &'static str> {
        let Told { method, extremes, histogram } = told;
        let is_range = |(min, max): (f32, f32)| min.is_finite() && max.is_finite() && min <= max;
        if !extremes.is_none_or(is_range) {
            return Err("a range goes from a finite number to one that is as large");
        }
        if histogram.is_some() != (method != RangeMethod::MinMax) {
            return Err("a range has a histogram exactly if its method looks at one");
        }
        Ok(RangeEstimator { method, extremes, histogram })
    }
}

/// Candidates that [`RangeMethod::Mse`] tries for each end, from the full one to a hundredth of it.
const CANDIDATES: u32 = 100;

impl RangeEstimator {
    /// An estimator that has seen nothing.
    pub fn new(method: RangeMethod) -> RangeEstimator {
        let histogram = (method != RangeMethod::MinMax).then(Histogram::new);
        RangeEstimator { method, extremes: None, histogram }
    }

    /// Takes more values, which must be finite.
    pub fn observe(&mut self, values: &[f32]) {
        if values.is_empty() {
            return;
        }
        let start = self.extremes.unwrap_or((f32::INFINITY, f32::NEG_INFINITY));
        let wider = values.iter().fold(start, |(min, max), &v| (min.min(v), max.max(v)));
        self.extremes = Some(wider);
        if let Some(histogram) = &mut self.histogram {
            histogram.add(values);
        }
    }

    /// Takes what another estimator has seen.
    ///
    /// # Errors
    /// [`QuantError::Merge`] if the other one estimates in another way.
    pub fn merge(&mut self, other: &RangeEstimator) -> Result<()> {
        if self.method != other.method {
            return Err(QuantError::Merge { what: "they were estimated in different ways" }.into());
        }
        self.extremes = match (self.extremes, other.extremes) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        if let (Some(own), Some(theirs)) = (&mut self.histogram, &other.histogram) {
            own.merge(theirs);
        }
        Ok(())
    }

    /// The range, or `None` if nothing has been seen.
    pub fn range(&self) -> Option<(f32, f32)> {
        let (min, max) = self.extremes?;
        Some(match (self.method, &self.histogram) {
            (RangeMethod::Percentile(share), Some(h)) => percentile(h, share, (min, max)),
            (RangeMethod::Mse, Some(h)) => least_squared_error(h, (min, max)),
            _ => (min, max),
        })
    }
}

fn percentile(histogram: &Histogram, share: f64, (min, max): (f32, f32)) -> (f32, f32) {
    let cut = (histogram.total() as f64 * share.clamp(0.0, 0.5)) as u64;
    let low = end_beyond(histogram.bins(), cut).unwrap_or(min);
    let high = end_beyond(histogram.bins().rev(), cut).unwrap_or(max);
    if cut == 0 { (min, max) } else { (low.clamp(min, max), high.clamp(min, max)) }
}

/// The first bin that more than `cut` values have been passed by.
fn end_beyond(mut bins: impl Iterator<Item = (f64, u64)>, cut: u64) -> Option<f32> {
    let mut passed = 0;
    let found = bins.find(|(_, count)| {
        passed = u64::saturating_add(passed, *count);
        passed > cut
    });
    found.map(|(middle, _)| middle as f32)
}

fn least_squared_error(histogram: &Histogram, (min, max): (f32, f32)) -> (f32, f32) {
    let error = |(low, high): (f32, f32)| -> f64 {
        let Ok(params) = QParams::from_range(low, high) else { return f64::INFINITY };
        let squared = |(x, count): (f64, u64)| {
            let back = f64::from(params.dequantize(params.quantize(x as f32)));
            (back - x).powi(2) * count as f64
        };
        histogram.bins().map(squared).sum()
    };
    let best_of = |candidate: &dyn Fn(f32) -> (f32, f32)| {
        let shares = (1..=CANDIDATES).rev().map(|step| step as f32 / CANDIDATES as f32);
        let scored = shares.map(|share| (error(candidate(share)), candidate(share)));
        scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or((min, max), |(_, range)| range)
    };
    // The two tails differ, so each end is chosen on its own.
    let (_, high) = best_of(&|share| (min, max * share));
    best_of(&|share| (min * share, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn with_outlier(method: RangeMethod) -> RangeEstimator {
        let mut rng = Rng::seed(1);
        let mut values: Vec<f32> = (0..20_000).map(|_| rng.normal()).collect();
        values.push(1000.0);
        let mut estimator = RangeEstimator::new(method);
        values.chunks(999).for_each(|chunk| estimator.observe(chunk));
        estimator
    }

    #[test]
    fn percentiles_and_squared_error_pass_over_an_outlier() {
        let (_, max) = with_outlier(RangeMethod::MinMax).range().unwrap();
        assert_eq!(max, 1000.0);
        for method in [RangeMethod::Percentile(1e-3), RangeMethod::Mse] {
            let (min, max) = with_outlier(method).range().unwrap();
            if method != RangeMethod::Mse {
                assert!((2.0..6.0).contains(&max) && min < -2.0, "{method:?}: {min}..{max}");
            }
            assert!(max <= 1000.0);
        }
    }

    #[test]
    fn the_least_squared_error_clips_when_clipping_pays() {
        let mut rng = Rng::seed(2);
        let mut estimator = RangeEstimator::new(RangeMethod::Mse);
        let mut values: Vec<f32> = (0..100_000).map(|_| rng.normal()).collect();
        values.push(12.0);
        estimator.observe(&values);
        let (_, max) = estimator.range().unwrap();
        assert!((3.0..10.0).contains(&max), "{max}");
    }

    #[test]
    fn nothing_seen_is_no_range() {
        assert_eq!(RangeEstimator::new(RangeMethod::Mse).range(), None);
        let mut a = RangeEstimator::new(RangeMethod::MinMax);
        assert!(a.merge(&RangeEstimator::new(RangeMethod::Mse)).is_err());
    }
}
