//! The middle of a sample and of its halves.

use serde::{Deserialize, Serialize};

/// The middle of a sample and of its halves, in the sample's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter of the values is below.
    pub low: f64,
    /// Half of the values is below.
    pub median: f64,
    /// Three quarters of the values are below.
    pub high: f64,
}

impl Quartiles {
    /// The quartiles of `values`; NaN for none.
    pub fn of(values: &[f64]) -> Quartiles {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Quartiles { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

/// The value below which a share of the sorted values lies, interpolated between neighbors
/// (definition 7 of Hyndman and Fan, 1996); NaN for none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(last);
    sorted[below] + part * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbors() {
        let q = Quartiles::of(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!((q.low, q.median, q.high), (1.75, 2.5, 3.25));
        assert_eq!(Quartiles::of(&[7.0]).high, 7.0);
        assert!(Quartiles::of(&[]).median.is_nan());
    }
}
