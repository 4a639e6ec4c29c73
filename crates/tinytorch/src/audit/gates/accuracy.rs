//! Whether the int8 model is as good at its task.

use crate::Result;
use crate::audit::{Direction, Evidence, Gate, Metric, Subject, with_unit};

/// Share of the float model's score that must be kept where more is better, in percent.
const KEPT: f64 = 99.0;

/// How many times the float model's score the int8 model's may be where less is better.
const LOST: f64 = 1.01;

/// The int8 model is as good at its task.
pub(crate) fn accuracy(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    const ID: &str = "accuracy";
    let (task, targets) = (&subject.task, subject.held_out.targets());
    let float = task.score(&evidence.float, targets)?;
    let int8 = task.score(&evidence.int8, targets)?;
    let reason = format!(
        "{} {} in float, {} in int8, on {}",
        task.measure(),
        with_unit(float, task),
        with_unit(int8, task),
        task.counted(targets)
    );
    Ok(match task.direction() {
        Direction::HigherIsBetter => {
            Gate::at_least(ID, kept(float, int8) * 100.0, KEPT, "% of f32", reason)
        }
        Direction::LowerIsBetter => Gate::at_most(ID, grown(float, int8), LOST, "x f32", reason),
    })
}

/// The share of a score that is left of it: below 0 too, a score is worse by what it has fallen.
fn kept(float: f64, int8: f64) -> f64 {
    match float {
        _ if float == int8 => 1.0,
        _ if float > 0.0 => int8 / float,
        _ => 1.0 - (float - int8) / float.abs(),
    }
}

/// How many times an error has grown; one that was 0 has grown beyond any limit.
fn grown(float: f64, int8: f64) -> f64 {
    match float {
        _ if float == int8 => 1.0,
        _ if float > 0.0 => int8 / float,
        _ => 1.0 + (int8 - float) / float.abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_below_zero_is_kept_by_its_distance() {
        assert_eq!(kept(0.5, 0.25), 0.5);
        assert_eq!(kept(-0.5, -0.5), 1.0);
        assert_eq!(kept(-0.5, -0.75), 0.5);
        assert_eq!(kept(0.0, -0.1), f64::NEG_INFINITY);
        assert_eq!(kept(0.0, 0.0), 1.0);
    }

    #[test]
    fn an_error_that_was_none_has_grown_beyond_any_limit() {
        assert_eq!((grown(2.0, 3.0), grown(0.0, 0.0)), (1.5, 1.0));
        assert_eq!(grown(0.0, 0.1), f64::INFINITY);
        assert!(grown(f64::NAN, 1.0).is_nan());
    }
}
