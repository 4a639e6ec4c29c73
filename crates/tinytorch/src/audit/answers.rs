//! What both models answer to each sample, right or wrong.

use super::{Interval, Metric, Subject, Task, interval};
use crate::Result;
use crate::tensor::{Dtype, Tensor};

/// The classes that both models choose, for each sample or, in texts, for each token.
pub(super) struct Answers {
    float: Vec<i64>,
    int8: Vec<i64>,
    /// What would be right, where that is known.
    pub(super) right: Option<Vec<i64>>,
    /// Answers of one sample.
    per_sample: usize,
}

impl Answers {
    /// `None` if outputs choose no class.
    ///
    /// # Errors
    /// If outputs are not what the task is for.
    pub(super) fn of(subject: &Subject, [float, int8]: [&[Tensor]; 2]) -> Result<Option<Answers>> {
        let (task, targets) = (&subject.task, subject.held_out.targets());
        let answers = (task.answers(float)?, task.answers(int8)?);
        let (Some(float), Some(int8)) = answers else { return Ok(None) };
        let per_sample = float.len() / subject.held_out.len().max(1);
        let right = match (task, targets.first()) {
            (Task::Classification | Task::LanguageModel, Some(target))
                if target.dtype() == Dtype::I64 && target.len() == float.len() =>
            {
                Some(target.to_vec::<i64>()?)
            }
            _ => None,
        };
        let (float, int8) = (float.to_vec::<i64>()?, int8.to_vec::<i64>()?);
        Ok(Some(Answers { float, int8, right, per_sample: per_sample.max(1) }))
    }

    /// One answer of each sample, of which it is not known what would be right.
    #[cfg(test)]
    pub(super) fn each(float: Vec<i64>, int8: Vec<i64>) -> Answers {
        Answers { float, int8, right: None, per_sample: 1 }
    }

    /// Answers.
    pub(super) fn len(&self) -> usize {
        self.float.len()
    }

    /// The sample that an answer belongs to.
    pub(super) fn sample_of(&self, answer: usize) -> usize {
        answer / self.per_sample
    }

    /// The answers that are the same in both models.
    pub(super) fn same(&self) -> impl Iterator<Item = bool> + '_ {
        self.float.iter().zip(&self.int8).map(|(float, int8)| float == int8)
    }

    /// The class that the float and the int8 model choose.
    pub(super) fn pair(&self, answer: usize) -> (i64, i64) {
        (self.float[answer], self.int8[answer])
    }

    /// The share of same answers, and its interval; tokens of one text count as far as they go wrong apart.
    pub(super) fn agreement(&self) -> (f64, Interval) {
        let same: Vec<bool> = self.same().collect();
        let share = same.iter().filter(|same| **same).count() as f64 / same.len().max(1) as f64;
        (share, interval_of(&same, self.per_sample, share))
    }

    /// How many of these answers each model has right.
    pub(super) fn tally(&self, right: &[i64], of: impl Iterator<Item = usize>) -> Tally {
        let mut tally = Tally::default();
        for answer in of {
            let (float, int8) = self.pair(answer);
            tally.answers += 1;
            match (float == right[answer], int8 == right[answer]) {
                (true, true) => tally.both += 1,
                (true, false) => tally.lost.push(answer),
                (false, true) => tally.gained += 1,
                (false, false) => {}
            }
        }
        tally
    }
}

/// The interval of a share of answers, of which so many in a row belong to one sample.
fn interval_of(hits: &[bool], per_sample: usize, share: f64) -> Interval {
    let clusters: Vec<Vec<bool>> = hits.chunks(per_sample.max(1)).map(<[bool]>::to_vec).collect();
    let n = match per_sample {
        0 | 1 => hits.len() as f64,
        _ => interval::independent(&clusters),
    };
    Interval::of_share(share * n, n)
}

/// The interval of the share of right answers of one model.
pub(super) fn accuracy_interval(answers: &Tensor, right: &Tensor) -> Result<Interval> {
    let pairs = answers.to_vec::<i64>()?.into_iter().zip(right.to_vec::<i64>()?);
    let hits: Vec<bool> = pairs.map(|(a, b)| a == b).collect();
    let share = hits.iter().filter(|hit| **hit).count() as f64 / hits.len().max(1) as f64;
    Ok(interval_of(&hits, 1, share))
}

/// How many of some answers each model has right.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) answers: usize,
    /// Right in both.
    both: usize,
    /// Right in float only.
    pub(super) lost: Vec<usize>,
    /// Right in int8 only.
    gained: usize,
}

impl Tally {
    /// Right answers of the float model.
    pub(super) fn float_right(&self) -> usize {
        self.both + self.lost.len()
    }

    /// Right answers of the int8 model.
    pub(super) fn int8_right(&self) -> usize {
        self.both + self.gained
    }

    /// The share of the float model's right answers that is left, and its interval; `None` if there is
    /// nothing to keep.
    pub(super) fn kept(&self) -> Option<(f64, Interval)> {
        let (n, right) = (self.answers as f64, self.float_right() as f64);
        if right == 0.0 {
            return None;
        }
        let gone = Interval::of_difference(self.lost.len() as f64, self.gained as f64, n);
        Some((self.int8_right() as f64 / right, gone.scaled(-n / right, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(float: Vec<i64>, int8: Vec<i64>, right: Vec<i64>, per_sample: usize) -> Answers {
        Answers { float, int8, right: Some(right), per_sample }
    }

    #[test]
    fn what_is_lost_and_gained_is_counted_apart() {
        let of = answers(vec![0, 0, 1, 1], vec![0, 1, 1, 0], vec![0, 0, 0, 0], 1);
        let tally = of.tally(&[0, 0, 0, 0], 0..4);
        assert_eq!((tally.float_right(), tally.int8_right()), (2, 2));
        assert_eq!(tally.lost, [1]);
        let (kept, interval) = tally.kept().unwrap();
        assert!(kept == 1.0 && interval.low < 0.2 && interval.high > 1.5, "{interval:?}");
        assert!(of.tally(&[9, 9, 9, 9], 0..4).kept().is_none());
    }

    #[test]
    fn two_samples_leave_the_share_open() {
        let (share, interval) = answers(vec![3, 4], vec![3, 4], vec![3, 4], 1).agreement();
        assert_eq!(share, 1.0);
        // 2 / (2 + 1.96^2).
        assert!((interval.low - 0.3424).abs() < 1e-4 && interval.high == 1.0, "{interval:?}");
    }
}
