//! Whether the int8 model is as good at its task.

use crate::Result;
use crate::audit::answers::Answers;
use crate::audit::{Direction, Gate, Interval, Metric, Subject, Task, interval, with_unit};
use crate::tensor::{Dtype, Tensor};

const ID: &str = "accuracy";

/// How many times the float model's score the int8 model's may be where less is better.
const LOST: f64 = 1.01;

/// The int8 model is as good at its task, with 95 % confidence, by the outputs of the float and of the int8 model.
pub(crate) fn accuracy(
    subject: &Subject,
    outputs: [&[Tensor]; 2],
    answers: Option<&Answers>,
) -> Result<Gate> {
    let (task, targets) = (&subject.task, subject.held_out.targets());
    if targets.is_empty() {
        let reason = "the data say nothing of what the outputs should be".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    }
    let [float, int8] = outputs;
    let (float, int8) = (task.score(float, targets)?, task.score(int8, targets)?);
    let reason = format!(
        "{} {} in float, {} in int8, on {}",
        task.measure(),
        with_unit(float, task),
        with_unit(int8, task),
        task.counted(targets)
    );
    let gate = judged((task.direction(), task.kept() * 100.0), float, int8, reason);
    let samples = subject.held_out.len();
    Ok(match interval(subject, outputs, answers)? {
        Some(interval) => gate.decided_by(interval),
        None => gate.undecided(&format!(
            "{samples} samples are too few to tell, {} are not",
            interval::FEWEST
        )),
    })
}

/// `least` is what must be kept where more is better, in percent.
fn judged((direction, least): (Direction, f64), float: f64, int8: f64, reason: String) -> Gate {
    match direction {
        Direction::HigherIsBetter => {
            Gate::at_least(ID, kept(float, int8) * 100.0, least, "% of f32", reason)
        }
        Direction::LowerIsBetter => Gate::at_most(ID, grown(float, int8), LOST, "x f32", reason),
    }
}

/// Where what is kept, in percent, or what an error has grown by lies; `None` if there are too few samples
/// to tell.
fn interval(
    subject: &Subject,
    [float, int8]: [&[Tensor]; 2],
    answers: Option<&Answers>,
) -> Result<Option<Interval>> {
    let (task, samples) = (&subject.task, subject.held_out.len());
    if let (Task::Classification, Some(answers)) = (task, answers)
        && let Some(right) = &answers.right
    {
        let tally = answers.tally(right, 0..answers.len());
        // A model without a right answer has nothing to keep, and what it is worth is another gate's question.
        let kept = tally.kept().map(|(_, interval)| interval.scaled(100.0, 0.0));
        return Ok(Some(kept.unwrap_or(Interval { low: 100.0, high: 100.0 })));
    }
    if samples < interval::FEWEST {
        return Ok(None);
    }
    if *task == Task::LanguageModel
        && let ([float, ..], [int8, ..], [target, ..]) = (float, int8, subject.held_out.targets())
    {
        let (float, int8) = (surprise(float, target)?, surprise(int8, target)?);
        let more: Vec<f64> = int8.iter().zip(&float).map(|(int8, float)| int8 - float).collect();
        let Interval { low, high } = Interval::of_mean(&more);
        return Ok(Some(Interval { low: low.exp(), high: high.exp() }));
    }
    let targets = subject.held_out.targets();
    let all = Interval::by_drawing(samples, |of| {
        let drawn = |tensors: &[Tensor]| {
            tensors.iter().map(|tensor| rows(tensor, of)).collect::<Result<Vec<_>>>()
        };
        let targets = drawn(targets)?;
        let float = task.score(&drawn(float)?, &targets)?;
        let int8 = task.score(&drawn(int8)?, &targets)?;
        Ok::<_, crate::Error>(match task.direction() {
            Direction::HigherIsBetter => kept(float, int8) * 100.0,
            Direction::LowerIsBetter => grown(float, int8),
        })
    })?;
    Ok(Some(all))
}

/// The mean of `-ln p(target)` over the tokens of each sample.
fn surprise(output: &Tensor, target: &Tensor) -> Result<Vec<f64>> {
    let (samples, vocab) = (target.shape()[0], output.shape().last_dim().max(1));
    let (output, target) = (output.to_vec::<f32>()?, target.to_vec::<i64>()?);
    let length = (target.len() / samples.max(1)).max(1);
    let of_token = |(scores, class): (&[f32], &i64)| {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|v| f64::from(v - largest).exp()).sum();
        let right = usize::try_from(*class).ok().and_then(|class| scores.get(class));
        sum.ln() - f64::from(right.map_or(f32::NAN, |right| right - largest))
    };
    let each: Vec<f64> = output.chunks(vocab).zip(&target).map(of_token).collect();
    Ok(each.chunks(length).map(|of| of.iter().sum::<f64>() / of.len() as f64).collect())
}

/// These samples of a tensor `[samples, ..]`.
fn rows(tensor: &Tensor, of: &[usize]) -> Result<Tensor> {
    fn gathered<T: crate::tensor::Element>(tensor: &Tensor, of: &[usize]) -> Result<Tensor> {
        let values = tensor.to_vec::<T>()?;
        let width = values.len() / tensor.shape()[0].max(1);
        let rows = of.iter().flat_map(|&i| values[i * width..(i + 1) * width].iter().copied());
        Tensor::from_vec(rows.collect::<Vec<T>>(), tensor.shape().with(0, of.len()))
    }
    match tensor.dtype() {
        Dtype::F32 => gathered::<f32>(tensor, of),
        Dtype::I64 => gathered::<i64>(tensor, of),
        Dtype::I32 => gathered::<i32>(tensor, of),
        Dtype::U8 => gathered::<u8>(tensor, of),
        Dtype::I8 => gathered::<i8>(tensor, of),
        Dtype::Bool => gathered::<bool>(tensor, of),
    }
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
    fn a_hundredth_of_a_score_may_be_lost() {
        use crate::audit::Outcome::{Fail, Pass};
        let of = |direction, int8| judged((direction, 99.0), 80.0, int8, String::new()).result;
        assert_eq!(of(Direction::HigherIsBetter, 79.2), Pass);
        assert_eq!(of(Direction::HigherIsBetter, 79.1), Fail);
        assert_eq!(of(Direction::LowerIsBetter, 80.7), Pass);
        assert_eq!(of(Direction::LowerIsBetter, 80.9), Fail);
        let cosine =
            |int8| judged((Direction::HigherIsBetter, 99.9), 1.0, int8, String::new()).result;
        assert_eq!((cosine(0.9991), cosine(0.9989)), (Pass, Fail));
    }

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
