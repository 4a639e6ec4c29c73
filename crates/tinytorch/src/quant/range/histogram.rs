//! Counts of values in bins that widen as they must.

use serde::{Deserialize, Serialize};

/// Bins on each side of zero.
const HALF: usize = 1024;

/// Counts of values over `-limit..limit`, where the limit is a power of two that doubles when a
/// larger value arrives: neighboring bins then merge. So the counts do not depend on the order of
/// the values, and two histograms add up to the one that would have seen both streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Sparse", into = "Sparse")]
pub(super) struct Histogram {
    counts: Vec<u64>,
    /// Base-2 logarithm of the limit.
    exponent: i32,
}

/// The smallest limit, 2^-100: below it everything counts as the innermost bins.
const SMALLEST: i32 = -100;

/// The largest limit, beyond every float.
const LARGEST: i32 = 128;

/// What a file may claim to have counted: adding such histograms up does not overflow.
const MOST_READ: u64 = 1 << 53;

/// A histogram in a file: few bins have counts.
#[derive(Serialize, Deserialize)]
struct Sparse {
    exponent: i32,
    bins: Vec<(usize, u64)>,
}

impl From<Histogram> for Sparse {
    fn from(histogram: Histogram) -> Sparse {
        let Histogram { counts, exponent } = histogram;
        let bins = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        Sparse { exponent, bins }
    }
}

impl TryFrom<Sparse> for Histogram {
    type Error = &'static str;

    fn try_from(Sparse { exponent, bins }: Sparse) -> Result<Histogram, &'static str> {
        if !(SMALLEST..=LARGEST).contains(&exponent) {
            return Err("a histogram's limit is no power of two that floats have");
        }
        let mut histogram = Histogram { exponent, ..Histogram::new() };
        let mut left = MOST_READ;
        for (bin, count) in bins {
            let slot = histogram.counts.get_mut(bin).ok_or("a histogram has a bin too many")?;
            left = left.checked_sub(count).ok_or("a histogram counts more than it can")?;
            *slot += count;
        }
        Ok(histogram)
    }
}

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram { counts: vec![0; 2 * HALF], exponent: SMALLEST }
    }

    /// Counts finite values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        while f64::from(largest) >= self.limit() {
            self.double();
        }
        let per_unit = HALF as f64 / self.limit();
        for &v in values {
            let bin = (f64::from(v) * per_unit).floor() as i64 + HALF as i64;
            self.counts[bin.clamp(0, 2 * HALF as i64 - 1) as usize] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        let mut other = other.clone();
        while self.exponent < other.exponent {
            self.double();
        }
        while other.exponent < self.exponent {
            other.double();
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a = a.saturating_add(*b));
    }

    fn limit(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    fn double(&mut self) {
        let mut wider = vec![0; 2 * HALF];
        for (i, count) in self.counts.iter().enumerate() {
            wider[HALF / 2 + i / 2] += count;
        }
        self.counts = wider;
        self.exponent += 1;
    }

    /// Middle and count of every bin that has any, in ascending order.
    pub(super) fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, u64)> + '_ {
        let width = self.limit() / HALF as f64;
        let middle = move |i: usize| (i as f64 - HALF as f64 + 0.5) * width;
        self.counts.iter().enumerate().filter(|(_, c)| **c > 0).map(move |(i, &c)| (middle(i), c))
    }

    /// Values counted.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_equals_seeing_everything(
            a in prop::collection::vec(-1e6f32..1e6, 0..50), b in prop::collection::vec(-1f32..1.0, 0..50),
        ) {
            let of = |v: &[f32]| { let mut h = Histogram::new(); h.add(v); h };
            let mut merged = of(&b);
            merged.merge(&of(&a));
            let mut sequential = of(&a);
            sequential.add(&b);
            prop_assert_eq!(&merged, &sequential);
            prop_assert_eq!(merged.total(), (a.len() + b.len()) as u64);
        }
    }

    #[test]
    fn a_file_gives_it_back_and_cannot_lie_about_it() {
        let mut histogram = Histogram::new();
        histogram.add(&[0.5, -3.0, f32::MAX]);
        let json = serde_json::to_string(&histogram).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        for lie in [
            r#"{"exponent":2000000000,"bins":[]}"#,
            r#"{"exponent":0,"bins":[[2048,1]]}"#,
            r#"{"exponent":0,"bins":[[0,18446744073709551615],[1,1]]}"#,
        ] {
            assert!(serde_json::from_str::<Histogram>(lie).is_err(), "{lie}");
        }
    }

    #[test]
    fn the_largest_float_has_a_bin() {
        let mut h = Histogram::new();
        h.add(&[f32::MAX, f32::MIN, 0.0, 1e-45]);
        assert_eq!(h.total(), 4);
    }
}
