//! How much samples can tell: 95 % intervals of shares, of differences and of means.

use crate::Rng;
use serde::Serialize;

/// Standard deviations on each side that hold 95 % of a normal distribution.
const Z: f64 = 1.959_963_985;

/// Independent samples from which an interval of a mean is worth its name: below, the spread of the
/// samples itself is a guess.
pub(super) const FEWEST: usize = 30;

/// Resamples of a bootstrap: each end of a 95 % interval then rests on 10 of them.
const RESAMPLES: usize = 400;

/// Between which values a quantity lies, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Of the share that `hits` of `n` independent samples have (Wilson, 1927); from 0 to 1 without any.
    pub(super) fn of_share(hits: f64, n: f64) -> Interval {
        if n <= 0.0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (share, z2) = (hits / n, Z * Z);
        let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        // Rounding must not take the ends beyond the shares that there are.
        let low = if hits == 0.0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if hits == n { 1.0 } else { (middle + half).min(1.0) };
        Interval { low, high }
    }

    /// Of the difference between two shares of the same `n` samples, neither of which holds a sample of the
    /// other (square-and-add: Zou and Donner, 2008, from the intervals of each).
    pub(super) fn of_difference(a: f64, b: f64, n: f64) -> Interval {
        let (of_a, of_b) = (Interval::of_share(a, n), Interval::of_share(b, n));
        let (a, b) = (a / n.max(1.0), b / n.max(1.0));
        Interval {
            low: a - b - (a - of_a.low).hypot(of_b.high - b),
            high: a - b + (of_a.high - a).hypot(b - of_b.low),
        }
    }

    /// Of the mean of independent values.
    pub(super) fn of_mean(values: &[f64]) -> Interval {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let half = Z * (squares / (n - 1.0) / n).sqrt();
        Interval { low: mean - half, high: mean + half }
    }

    /// Of a statistic of `n` samples, from what it is of as many that are drawn from them again and again
    /// with a fixed seed (percentile bootstrap: Efron, 1979).
    ///
    /// # Errors
    /// What the statistic reports.
    pub(super) fn by_drawing<E>(
        n: usize,
        mut statistic: impl FnMut(&[usize]) -> Result<f64, E>,
    ) -> Result<Interval, E> {
        let mut rng = Rng::seed(0);
        let mut drawn = vec![0; n];
        let mut values = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            drawn.fill_with(|| rng.below(n));
            values.push(statistic(&drawn)?);
        }
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((RESAMPLES - 1) as f64 * share).round() as usize];
        Ok(Interval { low: at(0.025), high: at(0.975) })
    }

    /// The same interval of a quantity that is `factor` times as large, and has grown by `plus` after that.
    pub(super) fn scaled(self, factor: f64, plus: f64) -> Interval {
        let (a, b) = (self.low * factor + plus, self.high * factor + plus);
        Interval { low: a.min(b), high: a.max(b) }
    }
}

/// How many independent samples are worth as much as these: each inner list has a `true` for each of a
/// cluster's answers that is a hit. Where clusters differ no more than chance makes them, every answer
/// counts (Kish's design effect, 1965).
pub(super) fn independent(clusters: &[Vec<bool>]) -> f64 {
    let n: usize = clusters.iter().map(Vec::len).sum();
    let hits: usize = clusters.iter().flatten().filter(|hit| **hit).count();
    let (all, m) = (n as f64, clusters.len() as f64);
    let share = hits as f64 / all.max(1.0);
    let binomial = share * (1.0 - share) / all.max(1.0);
    if binomial == 0.0 || m < 2.0 {
        return all;
    }
    // The linearized variance of a ratio of cluster totals (Cochran, 1977, section 6.3).
    let deviation = |cluster: &Vec<bool>| {
        let hits = cluster.iter().filter(|hit| **hit).count() as f64;
        (hits - share * cluster.len() as f64).powi(2)
    };
    let clustered = m / (m - 1.0) * clusters.iter().map(deviation).sum::<f64>() / (all * all);
    all / (clustered / binomial).max(1.0)
}

/// The smallest number of samples of which a share `kept`, all of them hits, is above `limit` with 95 %
/// confidence.
pub(super) fn fewest_for(limit: f64) -> usize {
    (Z * Z * limit / (1.0 - limit)).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Wilson's interval from the literature: 10 of 10, 81 of 263 and 15 of 148 in Newcombe
    /// (1998), table I.
    #[test]
    fn shares_have_wilsons_interval() {
        let close = |got: Interval, low: f64, high: f64| {
            assert!((got.low - low).abs() < 5e-5 && (got.high - high).abs() < 5e-5, "{got:?}");
        };
        close(Interval::of_share(81.0, 263.0), 0.2553, 0.3662);
        close(Interval::of_share(15.0, 148.0), 0.0624, 0.1605);
        close(Interval::of_share(0.0, 20.0), 0.0, 0.1611);
        close(Interval::of_share(29.0, 29.0), 0.8830, 1.0);
        assert_eq!(Interval::of_share(0.0, 0.0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn a_share_of_99_percent_needs_381_samples() {
        assert_eq!(fewest_for(0.99), 381);
        assert!(Interval::of_share(381.0, 381.0).low >= 0.99);
        assert!(Interval::of_share(380.0, 380.0).low < 0.99);
    }

    #[test]
    fn a_difference_of_nothing_is_as_wide_as_its_parts() {
        let none = Interval::of_difference(0.0, 0.0, 360.0);
        let share = Interval::of_share(0.0, 360.0).high;
        assert_eq!((none.low, none.high), (-share, share));
        let lost = Interval::of_difference(40.0, 5.0, 1000.0);
        assert!(lost.low > 0.02 && lost.high < 0.055, "{lost:?}");
    }

    #[test]
    fn answers_that_go_wrong_together_are_worth_fewer() {
        let apart: Vec<Vec<bool>> =
            (0..40).map(|i| (0..25).map(|j| (i * 25 + j) % 20 != 0).collect()).collect();
        assert_eq!(independent(&apart), 1000.0);
        let together: Vec<Vec<bool>> = (0..40).map(|i| vec![i >= 2; 25]).collect();
        let worth = independent(&together);
        assert!((38.0..42.0).contains(&worth), "{worth}");
    }

    /// 2.5 % of what was drawn lies beyond each end, which are 10 values: of fewer, one that is drawn by chance moves an end.
    #[test]
    fn ten_draws_lie_beyond_each_end_of_an_interval() {
        let mut draws = Vec::new();
        let interval = Interval::by_drawing(1, |_| {
            draws.push(draws.len() as f64);
            Ok::<_, ()>(draws.len() as f64 - 1.0)
        });
        let interval = interval.unwrap();
        let beyond = |is: &dyn Fn(f64) -> bool| draws.iter().filter(|draw| is(**draw)).count();
        assert_eq!(beyond(&|draw| draw < interval.low), 10);
        assert_eq!(beyond(&|draw| draw > interval.high), 10);
    }

    #[test]
    fn the_mean_of_values_and_of_draws_agree() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i % 10)).collect();
        let normal = Interval::of_mean(&values);
        let drawn = Interval::by_drawing(200, |of| {
            Ok::<_, ()>(of.iter().map(|&i| values[i]).sum::<f64>() / 200.0)
        });
        let drawn = drawn.unwrap();
        assert!((normal.low - 4.101).abs() < 2e-3 && (normal.high - 4.899).abs() < 2e-3);
        assert!((drawn.low - normal.low).abs() < 0.06 && (drawn.high - normal.high).abs() < 0.06);
    }
}
