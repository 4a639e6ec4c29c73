//! Shares of a whole, as fractions or in percent.

use crate::problem::Problem;
use std::str::FromStr;
use tinytorch::audit::Task;

/// A share of a whole, written as a fraction (`0.01`) or in percent (`1%`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        match number.parse::<f64>().map(|value| value / unit) {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Share(share)),
            _ => Err("a share lies between 0 and 1, or 0% and 100%".to_string()),
        }
    }
}

/// How good a float model must be: a share of right answers, or a perplexity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Floor {
    value: f64,
    in_percent: bool,
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Floor, String> {
        let (number, in_percent) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), true),
            None => (text, false),
        };
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value > 0.0 => Ok(Floor { value, in_percent }),
            _ => Err("a floor is an accuracy such as 95% or 0.95, or a perplexity".to_string()),
        }
    }
}

impl Floor {
    /// The floor in the unit of the task, if it has that meaning.
    pub(crate) fn of(self, task: &Task) -> Result<f64, Problem> {
        let Floor { value, in_percent } = self;
        match task {
            Task::Classification if in_percent && value <= 100.0 => Ok(value),
            Task::Classification if !in_percent && value <= 1.0 => Ok(value * 100.0),
            Task::LanguageModel if !in_percent && value >= 1.0 => Ok(value),
            Task::Regression => Err(Problem::FloorWithoutClasses),
            _ => Err(Problem::Floor { measure: task.measure().to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_percentages_are_read_alike() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert_eq!("0.01".parse(), Ok(Share(0.01)));
        assert_eq!("98.5 %".parse(), Ok(Share(0.985)));
        let of = |text: &str, task| text.parse::<Floor>().unwrap().of(&task);
        assert_eq!(of("95%", Task::Classification).ok(), Some(95.0));
        assert_eq!(of("0.95", Task::Classification).ok(), Some(95.0));
        assert_eq!(of("6", Task::LanguageModel).ok(), Some(6.0));
        assert!(of("6", Task::Classification).is_err() && of("6%", Task::LanguageModel).is_err());
        assert!(of("95%", Task::Regression).is_err());
        for bad in ["", "%", "2", "101%", "-1%", "NaN", "inf", "one"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
