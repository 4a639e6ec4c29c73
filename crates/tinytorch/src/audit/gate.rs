//! A question about a quantized model, with the measurement that answers it.

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
    /// It could not be measured here.
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
        Gate { id, result, value: None, limit: None, unit: "".into(), reason, side: Side::AtMost }
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
        let (value, limit) = (Some(value), Some(limit));
        Gate { id, result, value, limit, unit: unit.into(), reason, side: Side::AtMost }
    }
}

/// The first few faults, and how many more there are.
fn named(faults: &[String]) -> Option<String> {
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
    fn faults_are_named_up_to_a_point() {
        let faults: Vec<String> = (0..5).map(|i| format!("fault {i}")).collect();
        let gate = Gate::no_faults("g", &faults, "faults", "all well".into());
        assert_eq!(gate.result, Outcome::Fail);
        assert_eq!(gate.reason, "fault 0; fault 1; fault 2; and 2 more");
        assert_eq!(Gate::no_faults("g", &[], "faults", "all well".into()).reason, "all well");
    }
}
