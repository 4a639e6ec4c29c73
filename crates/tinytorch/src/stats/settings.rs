//! How long and how exactly is measured.

use super::StatsError;
use std::time::Duration;

/// How long and how exactly times are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Rounds before which nothing is concluded, whatever they take; at least 5, since fewer tell
    /// nothing of how times scatter.
    pub min_rounds: usize,
    /// Rounds after which it ends.
    pub max_rounds: usize,
    /// Time after which it ends, warm-up included.
    pub time_limit: Duration,
    /// It ends sooner if the interval of each ratio is narrower than this share of the ratio.
    pub width: f64,
    /// Share of cases in which the interval holds the ratio.
    pub confidence: f64,
    /// A candidate is called as often in a row as takes this long, so that reading the clock, some
    /// 25 ns, does not show.
    pub sample: Duration,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Settings {
    /// 95 % intervals narrower than 5 %, within 2 s.
    fn default() -> Self {
        Settings {
            min_rounds: 20,
            max_rounds: 5000,
            time_limit: Duration::from_secs(2),
            width: 0.05,
            confidence: 0.95,
            sample: Duration::from_micros(100),
            seed: 0,
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), StatsError> {
        let refuse = |name, value: String, needed| Err(StatsError::Setting { name, value, needed });
        if self.min_rounds < 5 {
            return refuse("min_rounds", self.min_rounds.to_string(), "at least 5");
        }
        if self.max_rounds < self.min_rounds {
            return refuse("max_rounds", self.max_rounds.to_string(), "at least min_rounds");
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return refuse("confidence", self.confidence.to_string(), "between 0 and 1");
        }
        if self.width.is_nan() {
            return refuse("width", self.width.to_string(), "a number");
        }
        Ok(())
    }
}
