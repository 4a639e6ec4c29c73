//! A question about a quantized model, with the measurement that answers it.

use super::Interval;
use serde::Serialize;
use std::borrow::Cow;

/// What a gate has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Measured, and within the limit.
    #[serde(rename = "pass")]
    Pass,
    /// Measured, and beyond the limit.
    #[serde(rename = "fail")]
    Fail,
    /// The question does not arise for this model.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// It could not be measured here, or the samples cannot decide it.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Outcome {
    /// The word that tables and reports use.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::NotApplicable => "n/a",
            Outcome::Unknown => "unknown",
        }
    }
}

/// One question about a quantized model, with the measurement that answers it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// The gate's stable name.
    pub id: &'static str,
    /// The answer.
    pub result: Outcome,
    /// What was measured.
    pub value: Option<f64>,
    /// What it is held against.
    pub limit: Option<f64>,
    /// Where the measured quantity lies with 95 % confidence, if that was judged; in the unit of both.
    pub interval: Option<Interval>,
    /// The unit of both.
    pub unit: Cow<'static, str>,
    /// What was measured and, on anything but a pass, why.
    pub reason: String,
    /// On which side of the limit the value should be.
    #[serde(skip)]
    pub side: Side,
}

/// On which side of a limit a measurement passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the limit on upwards.
    AtLeast,
    /// Up to the limit.
    AtMost,
}

impl Gate {
    /// Passes if `value >= limit`; NaN fails.
    pub fn at_least(
        id: &'static str,
        value: f64,
        limit: f64,
        unit: impl Into<Cow<'static, str>>,
        reason: String,
    ) -> Gate {
        let gate = Gate::judged(id, value >= limit, value, limit, unit, reason);
        Gate { side: Side::AtLeast, ..gate }
    }

    /// Passes if `value <= limit`; NaN fails.
    pub fn at_most(
        id: &'static str,
        value: f64,
        limit: f64,
        unit: impl Into<Cow<'static, str>>,
        reason: String,
    ) -> Gate {
        Gate::judged(id, value <= limit, value, limit, unit, reason)
    }

    /// The same gate, decided by where its quantity lies with 95 % confidence: it passes or fails if the
    /// limit is outside of the interval, and is unknown if it is inside.
    pub fn decided_by(self, interval: Interval) -> Gate {
        let Some(limit) = self.limit else { return self };
        let (worst, best) = match self.side {
            Side::AtLeast => (interval.low >= limit, interval.high >= limit),
            Side::AtMost => (interval.high <= limit, interval.low <= limit),
        };
        let is_number = self.value.is_some_and(|value| !value.is_nan());
        let result = match (worst, best) {
            (true, _) if is_number => Outcome::Pass,
            (false, true) if is_number => Outcome::Unknown,
            _ => Outcome::Fail,
        };
        let range = format!("95 % interval {} to {}", short(interval.low), short(interval.high));
        let reason = match result {
            Outcome::Unknown => {
                let limit = short(limit);
                format!("{}; {range}: the samples cannot tell it from {limit}", self.reason)
            }
            _ => format!("{}; {range}", self.reason),
        };
        Gate { result, reason, interval: Some(interval), ..self }
    }

    /// The same gate, unknown for this reason unless it has failed.
    pub fn undecided(self, why: &str) -> Gate {
        let result = match self.result {
            Outcome::Fail => Outcome::Fail,
            _ => Outcome::Unknown,
        };
        Gate { result, reason: format!("{why}; {}", self.reason), ..self }
    }

    /// Passes if there are no faults; the first few are named.
    pub fn no_faults(
        id: &'static str,
        faults: &[String],
        unit: impl Into<Cow<'static, str>>,
        checked: String,
    ) -> Gate {
        let reason = named(faults).unwrap_or(checked);
        Gate::judged(id, faults.is_empty(), faults.len() as f64, 0.0, unit, reason)
    }

    /// The same gate, failed if there are faults that its measurement does not show; the first few are
    /// named.
    pub fn unless_faulty(self, faults: &[String]) -> Gate {
        match named(faults) {
            None => self,
            Some(faults) => {
                Gate { result: Outcome::Fail, reason: format!("{faults}; {}", self.reason), ..self }
            }
        }
    }

    /// The question does not arise.
    pub fn not_applicable(id: &'static str, reason: String) -> Gate {
        Gate::unmeasured(id, Outcome::NotApplicable, reason)
    }

    /// It could not be measured.
    pub fn unknown(id: &'static str, reason: String) -> Gate {
        Gate::unmeasured(id, Outcome::Unknown, reason)
    }

    fn unmeasured(id: &'static str, result: Outcome, reason: String) -> Gate {
        let (value, limit, interval, unit) = (None, None, None, "".into());
        Gate { id, result, value, limit, interval, unit, reason, side: Side::AtMost }
    }

    fn judged(
        id: &'static str,
        pass: bool,
        value: f64,
        limit: f64,
        unit: impl Into<Cow<'static, str>>,
        reason: String,
    ) -> Gate {
        let result = if pass { Outcome::Pass } else { Outcome::Fail };
        let (value, limit, interval) = (Some(value), Some(limit), None);
        let unit = unit.into();
        Gate { id, result, value, limit, interval, unit, reason, side: Side::AtMost }
    }
}

/// Numbers in a sentence: `1, 2 and 3`.
pub(super) fn listed(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match words.split_last() {
        None => "no".to_string(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// A number with as many digits as an interval needs.
fn short(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 4 } else { 2 };
    format!("{value:.digits$}")
}

/// The first few faults, and how many more there are.
pub(super) fn named(faults: &[String]) -> Option<String> {
    const NAMED: usize = 3;
    match faults.len() {
        0 => None,
        n if n <= NAMED => Some(faults.join("; ")),
        n => Some(format!("{}; and {} more", faults[..NAMED].join("; "), n - NAMED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_that_is_not_a_number_never_passes() {
        assert_eq!(Gate::at_least("g", f64::NAN, 0.0, "", String::new()).result, Outcome::Fail);
        assert_eq!(Gate::at_most("g", f64::NAN, 0.0, "", String::new()).result, Outcome::Fail);
    }

    #[test]
    fn an_interval_decides_on_either_side_and_not_around_the_limit() {
        let decided = |low: f64, high: f64| {
            let gate = Gate::at_least("g", (low + high) / 2.0, 99.0, "%", "kept".to_string());
            gate.decided_by(Interval { low, high })
        };
        assert_eq!(decided(99.0, 100.0).result, Outcome::Pass);
        assert_eq!(decided(98.9, 100.0).result, Outcome::Unknown);
        assert_eq!(decided(90.0, 98.9).result, Outcome::Fail);
        let most = Gate::at_most("g", 1.0, 1.01, "x", String::new());
        let of = |low: f64, high: f64| most.clone().decided_by(Interval { low, high }).result;
        assert_eq!(of(0.9, 1.0), Outcome::Pass);
        assert_eq!(of(0.9, 1.1), Outcome::Unknown);
        assert_eq!(of(1.02, 1.1), Outcome::Fail);
        assert_eq!(decided(f64::NAN, f64::NAN).result, Outcome::Fail);
    }

    #[test]
    fn what_samples_cannot_tell_it_from_is_short() {
        let gate = Gate::at_least("g", 4.25, f64::MIN_POSITIVE, "%", "saved".to_string());
        let told = gate.decided_by(Interval { low: -0.5, high: 12.345 }).reason;
        assert_eq!(
            told,
            "saved; 95 % interval -0.5000 to 12.35: the samples cannot tell it from 0.0000"
        );
    }

    #[test]
    fn numbers_are_listed_as_people_do() {
        assert_eq!(listed(&[1, 2, 3]), "1, 2 and 3");
        assert_eq!(listed(&[64]), "64");
    }

    #[test]
    fn faults_are_named_up_to_a_point() {
        let faults: Vec<String> = (0..5).map(|i| format!("fault {i}")).collect();
        let gate = Gate::no_faults("g", &faults, "faults", "all well".into());
        assert_eq!(gate.result, Outcome::Fail);
        assert_eq!(gate.reason, "fault 0; fault 1; fault 2; and 2 more");
        assert_eq!(Gate::no_faults("g", &[], "faults", "all well".into()).reason, "all well");
    }
}
