//! Models of which no other is better in everything.

use super::TextTable;
use super::text_table::seconds;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a model costs and what it gives; less is better in everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tradeoff {
    /// The model.
    pub name: String,
    /// Relative error of its output, as a fraction.
    pub error: f64,
    /// Bytes of its parameters.
    pub bytes: u64,
    /// Seconds per pass.
    pub seconds: f64,
}

impl Tradeoff {
    fn is_known(&self) -> bool {
        !self.error.is_nan() && !self.seconds.is_nan()
    }

    /// Whether it is nowhere worse and somewhere better.
    fn beats(&self, other: &Tradeoff) -> bool {
        let nowhere_worse =
            self.error <= other.error && self.bytes <= other.bytes && self.seconds <= other.seconds;
        let somewhere_better =
            self.error < other.error || self.bytes < other.bytes || self.seconds < other.seconds;
        nowhere_worse && somewhere_better
    }
}

/// The places of those that no other beats, in order: the Pareto front. What has a NaN is not on it.
///
/// ```
/// use tinytorch::stats::{Tradeoff, pareto_front};
/// let model = |name: &str, error, bytes, seconds| Tradeoff { name: name.into(), error, bytes, seconds };
/// let models = [
///     model("f32", 0.0, 400, 4e-3),
///     model("int8", 0.006, 100, 1e-3),
///     model("int8, worse", 0.02, 110, 1e-3),
/// ];
/// assert_eq!(pareto_front(&models), [0, 1]);
/// ```
pub fn pareto_front(all: &[Tradeoff]) -> Vec<usize> {
    let is_beaten = |one: &Tradeoff| all.iter().any(|other| other.beats(one));
    let front = all.iter().enumerate().filter(|(_, one)| one.is_known() && !is_beaten(one));
    front.map(|(place, _)| place).collect()
}

/// Prints models as a table in which those on the Pareto front are marked.
#[derive(Clone, Copy, Debug)]
pub struct ParetoTable<'a>(pub &'a [Tradeoff]);

impl fmt::Display for ParetoTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = pareto_front(self.0);
        let mut table = TextTable::new(&["", "error", "bytes", "time", "front"]);
        for (place, model) in self.0.iter().enumerate() {
            table.row(vec![
                model.name.clone(),
                format!("{:.3} %", model.error * 100.0),
                model.bytes.to_string(),
                seconds(model.seconds),
                if front.contains(&place) { "*" } else { "" }.to_string(),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tradeoff(error: f64, bytes: u64, seconds: f64) -> Tradeoff {
        Tradeoff { name: format!("{error}/{bytes}/{seconds}"), error, bytes, seconds }
    }

    #[test]
    fn equals_share_the_front_and_the_unknown_is_not_on_it() {
        let all = [
            tradeoff(0.1, 5, 1.0),
            tradeoff(0.1, 5, 1.0),
            tradeoff(f64::NAN, 1, 0.1),
            tradeoff(0.2, 5, 1.0),
        ];
        assert_eq!(pareto_front(&all), [0, 1]);
        let text = ParetoTable(&all).to_string();
        let marked: Vec<bool> = text.lines().skip(1).map(|line| line.ends_with('*')).collect();
        assert_eq!(marked, [true, true, false, false]);
    }

    proptest! {
        #[test]
        fn the_front_beats_the_rest_and_nothing_beats_the_front(
            values in proptest::collection::vec((0u8..5, 0u64..5, 0u8..5), 1..30),
        ) {
            let all: Vec<Tradeoff> =
                values.iter().map(|v| tradeoff(v.0.into(), v.1, v.2.into())).collect();
            let front = pareto_front(&all);
            prop_assert!(!front.is_empty());
            for (place, one) in all.iter().enumerate() {
                let beaten_by_front = front.iter().any(|&other| all[other].beats(one));
                prop_assert_eq!(beaten_by_front, !front.contains(&place));
            }
        }
    }
}
