//! Learning rates over a training.

use super::Setting;
use crate::Result;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a training: a factor on the base rate, as a pure function of
/// the number of the step, counted from 0.
///
/// ```
/// use tinytorch::optim::Schedule;
/// let cosine = Schedule::Cosine { warmup: 10, total: 110, floor: 0.0 };
/// assert_eq!(cosine.factor(4), 0.5);
/// assert_eq!(cosine.factor(9), 1.0);
/// assert!((cosine.factor(60) - 0.5).abs() < 1e-12);
/// assert!(cosine.factor(110) < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// The base rate throughout.
    #[default]
    Constant,
    /// Rises in a straight line over the first `warmup` steps, then stays.
    LinearWarmup {
        /// Steps until the base rate is reached.
        warmup: u64,
    },
    /// Rises over the first `warmup` steps, then falls along half a cosine to `floor` at step `total`
    /// (Loshchilov and Hutter, 2017, without restarts), and stays there.
    Cosine {
        /// Steps until the base rate is reached.
        warmup: u64,
        /// The step at which the floor is reached.
        total: u64,
        /// The last factor, from 0 to 1.
        floor: f64,
    },
    /// Multiplied by `factor` every `every` steps.
    Step {
        /// Steps between two changes.
        every: u64,
        /// What the rate is multiplied by, above 0.
        factor: f64,
    },
}

impl Schedule {
    /// What the base rate is multiplied by at step `step`. A warm-up's first step already moves:
    /// it takes `1 / warmup` of the base rate.
    pub fn factor(&self, step: u64) -> f64 {
        let rise = |warmup: u64| (step.saturating_add(1) as f64 / warmup.max(1) as f64).min(1.0);
        match *self {
            Schedule::Constant => 1.0,
            Schedule::LinearWarmup { warmup } => rise(warmup),
            Schedule::Cosine { warmup, .. } if step < warmup => rise(warmup),
            Schedule::Cosine { warmup, total, floor } => {
                let (done, length) = (step - warmup, total.saturating_sub(warmup).max(1));
                let share = (done as f64 / length as f64).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Step { every, factor } => factor.powf((step / every.max(1)) as f64),
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`OptimError::Setting`](super::OptimError::Setting) for a floor outside 0 to 1, a cosine that ends before its warm-up, or
    /// steps of length 0 or with a factor that is not positive.
    pub fn check(&self) -> Result<()> {
        let settings = match *self {
            Schedule::Constant | Schedule::LinearWarmup { .. } => vec![],
            Schedule::Cosine { warmup, total, floor } => {
                let valid = (0.0..=1.0).contains(&floor);
                let expected = "more than the warm-up";
                vec![
                    Setting { name: "floor", value: floor, expected: "from 0 to 1", valid },
                    Setting { name: "total", value: total as f64, expected, valid: total > warmup },
                ]
            }
            Schedule::Step { every, factor } => {
                vec![Setting::positive("factor", factor), Setting::positive("every", every as f64)]
            }
        };
        Setting::check_all("schedule", &settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warmup_rises_in_equal_steps_and_stays() {
        let warmup = Schedule::LinearWarmup { warmup: 4 };
        let factors: Vec<f64> = (0..6).map(|s| warmup.factor(s)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(Schedule::LinearWarmup { warmup: 0 }.factor(0), 1.0);
        assert_eq!(warmup.factor(u64::MAX), 1.0);
    }

    #[test]
    fn a_cosine_falls_from_1_to_its_floor_and_stays() {
        let cosine = Schedule::Cosine { warmup: 2, total: 10, floor: 0.1 };
        assert_eq!([cosine.factor(0), cosine.factor(1), cosine.factor(2)], [0.5, 1.0, 1.0]);
        assert!((cosine.factor(6) - 0.55).abs() < 1e-12);
        assert!((2..10).all(|s| cosine.factor(s) > cosine.factor(s + 1)));
        assert_eq!(cosine.factor(10), 0.1);
        assert_eq!(cosine.factor(u64::MAX), 0.1);
    }

    #[test]
    fn steps_multiply() {
        let step = Schedule::Step { every: 3, factor: 0.5 };
        let factors: Vec<f64> = (0..7).map(|s| step.factor(s)).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn impossible_schedules_are_named() {
        let error = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        let early = error(Schedule::Cosine { warmup: 5, total: 5, floor: 0.0 });
        assert_eq!(early, "schedule: total is 5.0, but must be more than the warm-up");
        assert!(error(Schedule::Cosine { warmup: 0, total: 5, floor: f64::NAN }).contains("floor"));
        assert!(error(Schedule::Step { every: 0, factor: 0.5 }).contains("every is 0.0"));
        assert!(error(Schedule::Step { every: 1, factor: -1.0 }).contains("factor is -1.0"));
        Schedule::Constant.check().unwrap();
    }
}
