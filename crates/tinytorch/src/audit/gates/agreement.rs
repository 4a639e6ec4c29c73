//! Whether both models give the same answers.

use crate::audit::answers::Answers;
use crate::audit::{Gate, Metric, Subject, interval};

const ID: &str = "agreement";

/// Share of the samples or tokens on which both models must answer alike.
const ALIKE: f64 = 0.99;

/// The int8 model gives the same answers, right or wrong, with 95 % confidence.
pub(crate) fn agreement(subject: &Subject, answers: Option<&Answers>) -> Gate {
    let task = &subject.task;
    let Some(answers) = answers else {
        return Gate::not_applicable(ID, format!("a {} chooses no class to agree on", task.id()));
    };
    judged(answers, task.counted(subject.held_out.targets()))
}

fn judged(answers: &Answers, counted: String) -> Gate {
    let (share, interval) = answers.agreement();
    let mut reason = format!("same top-1 answer on {counted}");
    let fewest = interval::fewest_for(ALIKE);
    if answers.len() < fewest {
        reason.push_str(&format!(", where {fewest} without a difference would tell"));
    }
    let gate = Gate::at_least(ID, share * 100.0, ALIKE * 100.0, "%", reason);
    gate.decided_by(interval.scaled(100.0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    /// Wilson's intervals of 99 %: 381 samples without a difference exclude less, 380 do not; of 1000 samples 3 may
    /// differ for certain, and with 17 less than 99 % is certain.
    #[test]
    fn a_hundredth_of_the_answers_may_differ() {
        let of = |samples: usize, differing: usize| {
            let float = vec![0i64; samples];
            let int8 = (0..samples).map(|i| i64::from(i < differing)).collect();
            judged(&Answers::each(float, int8), String::new()).result
        };
        assert_eq!((of(381, 0), of(380, 0)), (Outcome::Pass, Outcome::Unknown));
        assert_eq!((of(1000, 3), of(1000, 4)), (Outcome::Pass, Outcome::Unknown));
        assert_eq!((of(1000, 16), of(1000, 17)), (Outcome::Unknown, Outcome::Fail));
    }
}
