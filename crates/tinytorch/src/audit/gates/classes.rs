//! Whether every class is recognized as well as before, not only most of them.

use crate::audit::answers::{Answers, Tally};
use crate::audit::{ClassReport, Gate, Interval, Subject, Task};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

const ID: &str = "classes";

/// Share of its float recall that every class must keep.
const KEPT: f64 = 0.97;

/// What the samples of a class must be able to exclude: that it keeps less than this. A class has a
/// fraction of the samples, so that it is judged more coarsely than the whole; to prove [`KEPT`] itself,
/// 124 samples of each class would be needed.
const TELLING: f64 = 0.9;

/// Lost samples that are named.
const NAMED: usize = 8;

/// What is known about a class.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    Kept,
    Lost,
    Open,
}

/// Every class keeps its recall, and every group of samples its accuracy.
///
/// A class is lost if its whole interval lies below the limit. It is kept if what was measured reaches
/// the limit and the interval excludes that a tenth is gone; otherwise the samples cannot tell. Tokens
/// too rare to tell are judged together. Classes without a sample are named: of them nothing is known.
pub(crate) fn classes(
    subject: &Subject,
    float: &[Tensor],
    answers: Option<&Answers>,
) -> (Gate, Vec<ClassReport>) {
    let known = answers.and_then(|answers| Some((answers, answers.right.as_deref()?)));
    let Some((answers, right)) = known else {
        let reason = format!("a {} has no classes to tell apart", subject.task.id());
        return (Gate::not_applicable(ID, reason), Vec::new());
    };
    let tallies = tallies(subject, answers, right);
    let reports: Vec<ClassReport> =
        tallies.iter().map(|(name, tally)| report(name, tally, answers)).collect();
    let mut gate = judge(&reports);
    if let Some(absent) = absent(subject, float, right) {
        gate.reason = format!("{}; {absent}", gate.reason);
    }
    (gate, reports)
}

/// Which classes of a classifier have no sample, in words.
fn absent(subject: &Subject, float: &[Tensor], right: &[i64]) -> Option<String> {
    let outputs = float.first().filter(|_| subject.task == Task::Classification)?;
    let seen: BTreeSet<i64> = right.iter().copied().collect();
    let classes = 0..outputs.shape().last_dim() as i64;
    let absent: Vec<i64> = classes.filter(|class| !seen.contains(class)).collect();
    let named: Vec<String> = absent.iter().take(NAMED).map(ToString::to_string).collect();
    match absent.len() {
        0 => None,
        1 => Some(format!("no sample is of class {}, so that nothing is known of it", named[0])),
        n => Some(format!(
            "no sample is of {n} classes, such as {}, so that nothing is known of them",
            named.join(", ")
        )),
    }
}

fn tallies(subject: &Subject, answers: &Answers, right: &[i64]) -> Vec<(String, Tally)> {
    let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (answer, class) in right.iter().enumerate() {
        members.entry(*class).or_default().push(answer);
    }
    let is_text = subject.task == Task::LanguageModel;
    let word = if is_text { "token" } else { "class" };
    let mut rare = Vec::new();
    let mut tallies = Vec::new();
    for (class, of) in members {
        let tally = answers.tally(right, of.iter().copied());
        if is_text && finding(tally.kept()) == Finding::Open {
            rare.extend(of);
        } else {
            tallies.push((format!("{word} {class}"), tally));
        }
    }
    if !rare.is_empty() {
        tallies.push(("the rarer tokens".to_string(), answers.tally(right, rare.into_iter())));
    }
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    if let Some(of_samples) = subject.held_out.groups() {
        for answer in 0..answers.len() {
            groups.entry(&of_samples[answers.sample_of(answer)]).or_default().push(answer);
        }
    }
    for (group, of) in groups {
        tallies.push((format!("group {group}"), answers.tally(right, of.into_iter())));
    }
    tallies
}

fn report(name: &str, tally: &Tally, answers: &Answers) -> ClassReport {
    let percent = |part: usize| part as f64 / tally.answers.max(1) as f64 * 100.0;
    let kept = tally.kept();
    let mut lost: Vec<usize> = tally.lost.iter().map(|&a| answers.sample_of(a)).collect();
    lost.dedup();
    lost.truncate(NAMED);
    ClassReport {
        name: name.to_string(),
        samples: tally.answers,
        float_recall: percent(tally.float_right()),
        int8_recall: percent(tally.int8_right()),
        kept: kept.map(|(kept, _)| kept * 100.0),
        interval: kept.map(|(_, interval)| interval.scaled(100.0, 0.0)),
        lost,
    }
}

/// A class of which the float model recognizes nothing has nothing to lose.
fn finding(kept: Option<(f64, Interval)>) -> Finding {
    match kept {
        None => Finding::Kept,
        Some((_, interval)) if interval.high < KEPT => Finding::Lost,
        Some((kept, interval)) if kept >= KEPT && interval.low >= TELLING => Finding::Kept,
        Some(_) => Finding::Open,
    }
}

fn judge(reports: &[ClassReport]) -> Gate {
    let finding = |report: &ClassReport| {
        let interval = report.interval.map(|interval| interval.scaled(0.01, 0.0));
        finding(report.kept.map(|kept| kept / 100.0).zip(interval))
    };
    let of = |wanted| {
        reports.iter().filter(move |r| finding(r) == wanted).map(sentence).collect::<Vec<_>>()
    };
    let (lost, open) = (of(Finding::Lost), of(Finding::Open));
    let worst = reports
        .iter()
        .filter(|report| report.kept.is_some())
        .min_by(|a, b| a.kept.unwrap_or(100.0).total_cmp(&b.kept.unwrap_or(100.0)));
    let Some(worst) = worst else {
        let reason = "the float model has not one sample right".to_string();
        return Gate::unknown(ID, reason);
    };
    let kept = worst.kept.unwrap_or(100.0);
    let all = format!(
        "{} judged by their recall; the worst is {}",
        match reports.len() {
            1 => "1 class".to_string(),
            n => format!("{n} classes"),
        },
        sentence(worst)
    );
    let gate = Gate::at_least(ID, kept, KEPT * 100.0, "% of f32 recall", all);
    let gate = Gate { interval: worst.interval, ..gate };
    if !lost.is_empty() {
        return gate.unless_faulty(&lost);
    }
    match open.is_empty() {
        true => gate,
        false => Gate { result: crate::audit::Outcome::Pass, ..gate }.undecided(&format!(
            "too few samples to tell of {}",
            crate::audit::gate::named(&open).unwrap_or_default()
        )),
    }
}

fn sentence(report: &ClassReport) -> String {
    let ClassReport { name, samples, float_recall, int8_recall, lost, .. } = report;
    let range = report.interval.map_or(String::new(), |interval| {
        format!(" (95 % interval {:.1} to {:.1})", interval.low, interval.high)
    });
    let lost = match lost.is_empty() {
        true => String::new(),
        false => {
            let ids: Vec<String> = lost.iter().map(ToString::to_string).collect();
            format!(", lost: samples {}", ids.join(", "))
        }
    };
    format!(
        "{name}, recall {float_recall:.1} to {int8_recall:.1} % of {samples}, {:.1} % kept{range}{lost}",
        report.kept.unwrap_or(100.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lost: f64, gained: f64, n: f64) -> Finding {
        let gone = Interval::of_difference(lost, gained, n);
        finding(Some((1.0 - (lost - gained) / n, gone.scaled(-1.0, 1.0))))
    }

    /// Each side of both limits: how many samples tell, and how many may be lost.
    #[test]
    fn a_class_is_kept_lost_or_open() {
        assert_eq!(of(0.0, 0.0, 35.0), Finding::Kept);
        assert_eq!(of(0.0, 0.0, 34.0), Finding::Open);
        assert_eq!(of(2.0, 0.0, 90.0), Finding::Kept);
        assert_eq!(of(3.0, 0.0, 90.0), Finding::Open);
        assert_eq!(of(32.0, 0.0, 32.0), Finding::Lost);
        assert_eq!(of(6.0, 0.0, 32.0), Finding::Lost);
        assert_eq!(of(5.0, 0.0, 32.0), Finding::Open);
        assert_eq!(finding(None), Finding::Kept);
    }
}
