//! Whether outputs are alike by what they are for.

use crate::Result;
use crate::audit::{Alike, Direction, Evidence, Gate, Interval, Subject, interval};

const ID: &str = "likeness";

/// The int8 model's outputs are alike to the float model's by the measure that was asked for, with 95 % confidence
/// where it is one of samples; `None` if none was.
pub(crate) fn likeness(subject: &Subject, evidence: &Evidence) -> Result<Option<Gate>> {
    let Some((likeness, limit)) = &subject.likeness else { return Ok(None) };
    let (name, direction) = (likeness.name(), likeness.direction());
    Ok(Some(match likeness.compare(&evidence.int8, &evidence.float)? {
        Alike::Each(each) => mean(name, &each, limit.unwrap_or_else(|| likeness.usual_limit())),
        Alike::Whole { int8, float } => {
            whole(name, direction, (int8, float), *limit, likeness.usual_limit())
        }
    }))
}

/// The mean over what can be compared.
fn mean(name: &str, each: &[Option<f64>], limit: f64) -> Gate {
    let known: Vec<f64> = each.iter().copied().flatten().collect();
    if known.is_empty() {
        return Gate::unknown(ID, format!("{name}: neither model finds anything to compare"));
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let worst = each.iter().enumerate().filter_map(|(i, value)| Some((i, (*value)?)));
    let worst = worst.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    let left = match each.len() - known.len() {
        0 => String::new(),
        left => format!(", {left} others have nothing to compare"),
    };
    let reason = format!(
        "mean {name} with the float model's outputs over {} samples or rows{left}; the lowest is {:.4}, of {}",
        known.len(),
        worst.1,
        worst.0
    );
    let gate = Gate::at_least(ID, mean, limit, "", reason);
    match known.len() < interval::FEWEST {
        true => gate.undecided(&format!("fewer than {} tell too little", interval::FEWEST)),
        false => gate.decided_by(Interval::of_mean(&known)),
    }
}

/// A number for each model: the int8 model's is held against the limit, or against a share of the float model's.
fn whole(
    name: &str,
    direction: Direction,
    (int8, float): (f64, f64),
    limit: Option<f64>,
    share: f64,
) -> Gate {
    let reason = format!("{name}: {float} in float, {int8} in int8");
    match (direction, limit) {
        (Direction::HigherIsBetter, limit) => {
            let kept = float - (1.0 - share) * float.abs();
            Gate::at_least(ID, int8, limit.unwrap_or(kept), "", reason)
        }
        (Direction::LowerIsBetter, limit) => {
            let grown = float + (1.0 - share) * float.abs();
            Gate::at_most(ID, int8, limit.unwrap_or(grown), "", reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome::{Fail, Pass, Unknown};

    #[test]
    fn a_mean_is_decided_where_there_are_samples_enough() {
        let alike = |value: f64, samples: usize| {
            let each: Vec<Option<f64>> = (0..samples).map(|_| Some(value)).collect();
            mean("cosine", &each, 0.99).result
        };
        assert_eq!((alike(0.9901, 30), alike(0.9899, 30)), (Pass, Fail));
        assert_eq!((alike(0.9901, 29), alike(0.9899, 29)), (Unknown, Fail));
        assert_eq!(mean("boxes", &[None, None], 0.9).result, Unknown);
    }

    #[test]
    fn a_score_keeps_its_share_or_reaches_what_is_said() {
        let of =
            |direction, int8, limit| whole("score", direction, (int8, 80.0), limit, 0.99).result;
        let (more, less) = (Direction::HigherIsBetter, Direction::LowerIsBetter);
        assert_eq!((of(more, 79.2, None), of(more, 79.1, None)), (Pass, Fail));
        assert_eq!((of(less, 80.8, None), of(less, 80.9, None)), (Pass, Fail));
        assert_eq!((of(more, 79.0, Some(79.0)), of(more, 78.9, Some(79.0))), (Pass, Fail));
        assert_eq!((of(less, 80.0, Some(80.0)), of(less, 80.1, Some(80.0))), (Pass, Fail));
        assert_eq!(of(more, f64::NAN, None), Fail);
    }
}
