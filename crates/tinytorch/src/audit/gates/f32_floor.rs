//! Whether the float model is worth the test.

use crate::Result;
use crate::audit::{Budget, Direction, Evidence, Gate, Interval, Metric, Subject, Task, answers};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

const ID: &str = "f32_floor";

/// The float model is worth the test: it does its task as well as is stated for it, or better than a model
/// that looks at no input: the most frequent class, the frequencies of tokens, the mean. Labels and
/// measures of the caller's own have no such model.
pub(crate) fn f32_floor(subject: &Subject, evidence: &Evidence, budget: &Budget) -> Result<Gate> {
    let (task, targets) = (&subject.task, subject.held_out.targets());
    let (floor, above) = match (budget.float_floor, targets.first()) {
        (Some(floor), _) => (floor, "as is stated for it".to_string()),
        (None, Some(target)) => match chance(task, target)? {
            Chance::Of { score, what } => (score, what),
            Chance::Undecidable(why) => return Ok(Gate::unknown(ID, why)),
            Chance::None => {
                let reason = format!("no {} is stated for this model", task.measure());
                return Ok(Gate::not_applicable(ID, reason));
            }
        },
        (None, None) => {
            let reason = format!("no {} is stated for this model", task.measure());
            return Ok(Gate::not_applicable(ID, reason));
        }
    };
    let quality = task.score(&evidence.float, targets)?;
    let mut reason = format!("float {} on {}, {above}", task.measure(), task.counted(targets));
    let interval = match (task, targets) {
        (Task::Classification, [target, ..]) => match task.answers(&evidence.float)? {
            Some(given) => Some(answers::accuracy_interval(&given, target)?.scaled(100.0, 0.0)),
            None => None,
        },
        _ => None,
    };
    if let Some(Interval { low, high }) = interval {
        reason.push_str(&format!("; 95 % interval {low:.1} to {high:.1}"));
    }
    let unit = task.unit().to_string();
    let gate = match task.direction() {
        Direction::HigherIsBetter => Gate::at_least(ID, quality, floor, unit, reason),
        Direction::LowerIsBetter => Gate::at_most(ID, quality, floor, unit, reason),
    };
    Ok(Gate { interval, ..gate })
}

/// How good a model is that looks at no input.
enum Chance {
    /// This good.
    Of { score: f64, what: String },
    /// These samples cannot tell.
    Undecidable(String),
    /// There is no such model.
    None,
}

fn chance(task: &Task, target: &Tensor) -> Result<Chance> {
    match task {
        Task::Classification | Task::LanguageModel => {}
        Task::Regression => {
            let what = "where the mean explains nothing".to_string();
            return Ok(Chance::Of { score: f64::MIN_POSITIVE, what });
        }
        Task::MultiLabel | Task::Own(_) => return Ok(Chance::None),
    }
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for class in target.to_vec::<i64>()? {
        *counts.entry(class).or_default() += 1;
    }
    if counts.len() < 2 {
        let why = "all samples are of one class, so that any model that gives it is right";
        return Ok(Chance::Undecidable(why.to_string()));
    }
    let all = target.len() as f64;
    if *task == Task::LanguageModel {
        let entropy: f64 =
            counts.values().map(|&count| -(count as f64 / all) * (count as f64 / all).ln()).sum();
        let what = "where the tokens' frequencies alone give the limit".to_string();
        return Ok(Chance::Of { score: entropy.exp(), what });
    }
    let most = counts.values().copied().max().unwrap_or(0) as f64;
    let score = Interval::of_share(most, all).high * 100.0;
    let what = format!(
        "where the most frequent class alone gives {:.1} %, and the end of its 95 % interval the limit",
        most / all * 100.0
    );
    Ok(Chance::Of { score, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(task: Task, classes: Vec<i64>) -> Option<f64> {
        let n = classes.len();
        match chance(&task, &Tensor::from_vec(classes, [n]).unwrap()).unwrap() {
            Chance::Of { score, .. } => Some(score),
            _ => None,
        }
    }

    #[test]
    fn chance_is_what_a_model_reaches_that_looks_at_nothing() {
        // 50 of 100: Wilson's interval is 40.4 to 59.6 %.
        let half = of(Task::Classification, (0..100).map(|i| i % 2).collect()).unwrap();
        assert!((half - 59.6).abs() < 0.05, "{half}");
        assert_eq!(of(Task::Classification, vec![3; 50]), None);
        let four = of(Task::LanguageModel, (0..64).map(|i| i % 4).collect()).unwrap();
        assert!((four - 4.0).abs() < 1e-9);
    }
}
