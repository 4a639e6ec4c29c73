//! An interval that holds a ratio.

use super::quartiles::quantile;
use crate::Rng;

/// Resamples of a bootstrap: the ends of a 95 % interval are then the 25th value from either side.
const RESAMPLES: usize = 1000;

/// A ratio and an interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) ratio: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Interval {
    /// The median of ratios, and between which values it lies when as many are drawn from them again
    /// and again (percentile bootstrap: Efron, 1979). There is at least one ratio.
    pub(super) fn of_median(ratios: &[f64], confidence: f64, seed: u64) -> Interval {
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut rng = Rng::seed(seed);
        let mut drawn = vec![0; sorted.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                drawn.fill_with(|| rng.below(sorted.len()));
                median_at(&sorted, &mut drawn)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let outside = (1.0 - confidence) / 2.0;
        Interval {
            ratio: quantile(&sorted, 0.5),
            low: quantile(&medians, outside),
            high: quantile(&medians, 1.0 - outside),
        }
    }

    /// The interval's width as a share of the ratio.
    pub(super) fn width(&self) -> f64 {
        (self.high - self.low) / self.ratio
    }
}

/// The median of the values at these places of a sorted list: comparing places is cheaper than
/// comparing floats.
fn median_at(sorted: &[f64], places: &mut [usize]) -> f64 {
    let middle = places.len() / 2;
    let (below, &mut upper, _) = places.select_nth_unstable(middle);
    match below.iter().max() {
        Some(&lower) if sorted.len().is_multiple_of(2) => (sorted[lower] + sorted[upper]) / 2.0,
        _ => sorted[upper],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(n: usize) -> Vec<f64> {
        (0..n).map(|i| 1.0 + (i % 11) as f64 / 100.0).collect()
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows_with_the_sample() {
        let (few, many) = (spread(22), spread(1100));
        let few = Interval::of_median(&few, 0.95, 1);
        let many = Interval::of_median(&many, 0.95, 1);
        for interval in [few, many] {
            assert!((interval.ratio - 1.05).abs() < 1e-9, "{interval:?}");
            assert!(interval.low <= 1.05 + 1e-9 && interval.high >= 1.05 - 1e-9, "{interval:?}");
        }
        assert!(many.width() < few.width() / 3.0, "{many:?} {few:?}");
        assert!(few.width() < 0.1);
    }

    #[test]
    fn it_covers_the_true_median_about_as_often_as_it_says() {
        // Lognormal ratios whose median is 1.
        let covers = |seed: u64| {
            let mut rng = Rng::seed(seed);
            let ratios: Vec<f64> = (0..41).map(|_| f64::from(rng.normal() * 0.1).exp()).collect();
            let interval = Interval::of_median(&ratios, 0.95, seed);
            interval.low <= 1.0 && 1.0 <= interval.high
        };
        let covered = (0..100).filter(|&seed| covers(seed)).count();
        assert!((88..=100).contains(&covered), "{covered} of 100");
    }

    /// Ends that hang on what chance drew would make a verdict of chance.
    #[test]
    fn the_ends_hang_little_on_what_was_drawn() {
        let mut rng = Rng::seed(1);
        let ratios: Vec<f64> = (0..201).map(|_| f64::from(rng.normal() * 0.1).exp()).collect();
        let all: Vec<Interval> =
            (0..40).map(|seed| Interval::of_median(&ratios, 0.95, seed)).collect();
        let width = all.iter().map(Interval::width).sum::<f64>() / 40.0;
        let deviation = |end: fn(&Interval) -> f64| {
            let mean = all.iter().map(end).sum::<f64>() / 40.0;
            (all.iter().map(|one| (end(one) - mean).powi(2)).sum::<f64>() / 39.0).sqrt()
        };
        for end in [deviation(|one| one.low), deviation(|one| one.high)] {
            assert!(end < 0.06 * width, "{end} of {width}");
        }
    }

    #[test]
    fn one_seed_gives_one_interval() {
        let ratios = spread(30);
        assert_eq!(Interval::of_median(&ratios, 0.9, 5), Interval::of_median(&ratios, 0.9, 5));
        assert_eq!(Interval::of_median(&[2.0], 0.9, 5).width(), 0.0);
    }
}
