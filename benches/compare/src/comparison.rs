//! One case on every engine: outputs first, then times in turn.

use crate::case::Case;
use crate::figures::{Figures, distance};
use crate::process::Process;
use anyhow::Result;
use std::thread::sleep;
use std::time::Duration;
use tinytorch::Tensor;
use tinytorch::data::read_npy;

/// Between two engines, so that the threads of the first, which wait for work in loops, go to sleep.
const PAUSE: Duration = Duration::from_millis(100);

/// How long and how often everything is run.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How often each way of each engine has its turn.
    pub(crate) rounds: usize,
    /// Length of a turn.
    pub(crate) seconds: f64,
}

/// One way of one engine to run a case.
pub(crate) struct Row {
    pub(crate) engine: String,
    pub(crate) variant: String,
    pub(crate) output: Output,
    pub(crate) outcome: Result<Figures, String>,
}

/// What the output is like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Output {
    /// It is what others are held against, or there is none.
    Reference,
    /// Relative distance of a float output to tinytorch's.
    Apart(f64),
    /// Relative distance of an int8 output to the float output of the same engine, or to the exact product.
    Error(f64),
}

/// A way that is timed.
struct Runner {
    engine: usize,
    row: Row,
    times: Vec<f64>,
}

/// Runs a case on all engines, of which the first is tinytorch.
pub(crate) fn compare(
    case: &Case,
    engines: &mut [(&'static str, Process)],
    effort: Effort,
) -> Result<Vec<Row>> {
    let (mut runners, mut failed) = (Vec::new(), Vec::new());
    let exact = case.exact()?;
    let mut ours = None;
    for (engine, (name, process)) in engines.iter_mut().enumerate() {
        let row = |variant: &str, output, outcome| Row {
            engine: name.to_string(),
            variant: variant.into(),
            output,
            outcome,
        };
        let (variants, refused) = match process.prepare(&case.file()) {
            Ok(answer) => answer,
            Err(why) => {
                failed.push(row("", Output::Reference, Err(format!("{why:#}"))));
                continue;
            }
        };
        for way in refused {
            failed.push(row(&way.name, Output::Reference, Err(way.why)));
        }
        let mut float = None;
        for way in variants {
            let values = read_npy(&way.output)?;
            let output = if is_int8(&way.name) {
                exact
                    .as_ref()
                    .or(float.as_ref())
                    .map(|want| distance(&values, want))
                    .map(Output::Error)
            } else {
                ours.as_ref().map(|want: &Tensor| distance(&values, want)).map(Output::Apart)
            };
            if !is_int8(&way.name) {
                ours.get_or_insert_with(|| values.clone());
                float.get_or_insert(values);
            }
            let output = output.unwrap_or(Output::Reference);
            let row = row(&way.name, output, Err("not run".into()));
            runners.push(Runner { engine, row, times: Vec::new() });
        }
    }
    take_turns(&mut runners, engines, effort);
    let mut rows: Vec<Row> = finish(runners).into_iter().chain(failed).collect();
    rows.sort_by_key(|row| engines.iter().position(|(name, _)| *name == row.engine));
    Ok(rows)
}

fn is_int8(variant: &str) -> bool {
    variant.starts_with("int8")
}

/// Times everything once in each round, each round beginning with another.
fn take_turns(runners: &mut [Runner], engines: &mut [(&'static str, Process)], effort: Effort) {
    let mut stopped = vec![None; runners.len()];
    for round in 0..effort.rounds {
        for turn in 0..runners.len() {
            let index = (round + turn) % runners.len();
            if stopped[index].is_some() {
                continue;
            }
            sleep(PAUSE);
            let runner = &mut runners[index];
            let process = &mut engines[runner.engine].1;
            match process.run(&runner.row.variant, effort.seconds) {
                Ok(seconds) => runner.times.push(seconds),
                Err(why) => stopped[index] = Some(format!("{why:#}")),
            }
        }
    }
    for (runner, why) in runners.iter_mut().zip(stopped) {
        if let Some(why) = why {
            runner.times.clear();
            runner.row.outcome = Err(why);
        }
    }
}

/// Rows with their figures, those of tinytorch being what the others are divided by.
fn finish(runners: Vec<Runner>) -> Vec<Row> {
    let ours: Vec<(String, Vec<f64>)> = runners
        .iter()
        .filter(|runner| runner.engine == 0 && !runner.times.is_empty())
        .map(|runner| (runner.row.variant.clone(), runner.times.clone()))
        .collect();
    let finish = |mut runner: Runner| {
        if !runner.times.is_empty() {
            let base = counterpart(&runner.row.variant, &ours);
            runner.row.outcome = Ok(Figures::of(&runner.times, base));
        }
        runner.row
    };
    runners.into_iter().map(finish).collect()
}

/// Our times for the way that is most like this one: of those whose name its name begins with, the one with
/// the longest.
fn counterpart<'a>(variant: &str, ours: &'a [(String, Vec<f64>)]) -> Option<&'a [f64]> {
    let like = ours.iter().filter(|(name, _)| variant.starts_with(name.as_str()));
    like.max_by_key(|(name, _)| name.len()).map(|(_, times)| times.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Model, Work};
    use crate::process::{Start, fake};
    use std::path::Path;
    use tinytorch::data::write_npy;

    #[test]
    fn a_way_is_divided_by_the_one_of_ours_that_it_varies() {
        let ours = [("f32", 1.0), ("int8 static", 2.0), ("int8", 3.0)];
        let ours = ours.map(|(name, seconds)| (name.to_string(), vec![seconds]));
        let found = |variant| counterpart(variant, &ours).map(|times| times[0]);
        assert_eq!(found("f32"), Some(1.0));
        assert_eq!(found("int8 static, 7 bits"), Some(2.0));
        assert_eq!(found("int8, u8 x s8"), Some(3.0));
        assert_eq!(found("bf16"), None);
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let runner = |engine: usize, variant: &str, times: &[f64]| Runner {
            engine,
            row: Row {
                engine: String::new(),
                variant: variant.into(),
                output: Output::Reference,
                outcome: Err("not run".into()),
            },
            times: times.to_vec(),
        };
        let rows = finish(vec![
            runner(0, "f32", &[1.0, 2.0, 4.0]),
            runner(1, "f32", &[3.0, 6.0, 12.0]),
            runner(1, "int8 static", &[1.0]),
            runner(2, "f32", &[]),
        ]);
        let figures = rows[1].outcome.as_ref().unwrap();
        assert_eq!(figures.seconds, 6.0);
        let ratio = figures.ratio.unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (3.0, 3.0, 3.0));
        assert!(rows[2].outcome.as_ref().unwrap().ratio.is_none());
        assert!(rows[3].outcome.is_err());
    }

    /// An engine that always takes `seconds`, and whose outputs lie in `folder` by the names of its ways.
    fn engine(folder: &Path, seconds: &str, ways: &[&str], run: Option<&str>) -> Process {
        let way = |way: &&str| {
            let output = folder.join(format!("{way}.npy"));
            format!(r#"{{"name":"{way}","output":"{}"}}"#, output.display())
        };
        let list = ways.iter().map(way).collect::<Vec<_>>().join(",");
        let refused = r#"[{"name":"int8 static","why":"no such kernel"}]"#;
        let prepared =
            format!(r#"echo '{{"prepared":{{"variants":[{list}],"refused":{refused}}}}}'"#);
        let ran = format!(r#"echo '{{"ran":{{"seconds":{seconds}}}}}'"#);
        let command = fake::command(fake::READY, &prepared, run.unwrap_or(&ran));
        match Process::start(command, &folder.join("log")).unwrap() {
            Start::Ready(process) => process,
            Start::Skipped(why) => panic!("{why}"),
        }
    }

    #[test]
    fn engines_are_asked_in_turn_and_their_outputs_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, values) in
            [("f32", [3.0, 4.0]), ("int8", [3.0, 4.5]), ("f32, B known", [6.0, 8.0])]
        {
            let values = Tensor::from_vec(values.to_vec(), [2]).unwrap();
            write_npy(path.join(format!("{name}.npy")), &values).unwrap();
        }
        let work = Work::Model(Model { model: "mlp".into(), nodes: Vec::new() });
        let case = Case { name: "case".into(), folder: path.into(), variants: Vec::new(), work };
        let mut engines = [
            ("ours", engine(path, "0.5", &["f32", "int8"], None)),
            ("theirs", engine(path, "2.0", &["f32", "int8", "f32, B known"], None)),
            ("broken", engine(path, "", &["f32"], Some("echo oh >&2; exit"))),
        ];
        let rows = compare(&case, &mut engines, Effort { rounds: 3, seconds: 0.01 }).unwrap();
        let told: Vec<(&str, &str, Output, Option<f64>)> = rows
            .iter()
            .map(|row| {
                let ratio = row.outcome.as_ref().ok().map(|figures| figures.ratio.unwrap().median);
                (row.engine.as_str(), row.variant.as_str(), row.output, ratio)
            })
            .collect();
        let (reference, same) = (Output::Reference, Output::Apart(0.0));
        assert_eq!(told[0], ("ours", "f32", reference, Some(1.0)));
        assert_eq!(told[1], ("ours", "int8", Output::Error(0.1), Some(1.0)));
        assert_eq!(told[2], ("ours", "int8 static", reference, None));
        assert_eq!(told[3], ("theirs", "f32", same, Some(4.0)));
        assert_eq!(told[4], ("theirs", "int8", Output::Error(0.1), Some(4.0)));
        assert_eq!(told[5], ("theirs", "f32, B known", Output::Apart(1.0), Some(4.0)));
        assert_eq!(told[7], ("broken", "f32", same, None));
        assert_eq!(rows[6].outcome.as_ref().err().unwrap(), "no such kernel");
        assert_eq!(rows[7].outcome.as_ref().err().unwrap(), "stopped answering: oh");
        assert_eq!(rows.len(), 9);
    }
}
