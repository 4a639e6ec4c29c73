//! What outputs are held against each other by, as the user names it.

use crate::problem::Problem;
use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::{Alike, Boxes, Characters, Cosine, Direction, Likeness};
use tinytorch::data::write_npz;
use tinytorch::models::Model;

/// What the outputs are held against the float model's by, beside their error.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// What else the outputs are judged by: `top-1`, which needs labels; `cosine` of rows, `boxes` by their overlap or
    /// `characters` of texts, as the float model gives them; or `command=WORDS`, a command that is given the int8
    /// and the float model's outputs as two .npz files, then the float model's twice, and prints a number each time
    #[arg(long, value_name = "top-1|cosine|boxes|characters|command=WORDS", value_parser = metric)]
    metric: Option<Metric>,
    /// What the metric must reach, 1 being the same; unless this is given 0.999 for a cosine, 0.97 for boxes, 0.99 for
    /// characters, and for a command 99 % of what it prints for the float model
    #[arg(long, value_name = "NUMBER", requires = "metric", allow_negative_numbers = true)]
    metric_limit: Option<f64>,
    /// The outputs that the metric reads, by name: the boxes' corners, then their scores, or the texts or vectors,
    /// which are the first output unless this is given
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "metric")]
    metric_outputs: Vec<String>,
    /// The class that stands for no object or no character; 0 unless this is given
    #[arg(long, value_name = "CLASS|none", requires = "metric", value_parser = blank)]
    metric_blank: Option<Blank>,
    /// Less of what the command prints is better
    #[arg(long, requires = "metric")]
    lower_is_better: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Metric {
    Top1,
    Cosine,
    Boxes,
    Characters,
    Command(String),
}

/// A class that stands for nothing, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Blank(Option<usize>);

fn metric(text: &str) -> Result<Metric, String> {
    Ok(match text {
        "top-1" => Metric::Top1,
        "cosine" => Metric::Cosine,
        "boxes" => Metric::Boxes,
        "characters" => Metric::Characters,
        _ => match text.strip_prefix("command=").map(str::trim) {
            Some(words) if !words.is_empty() => Metric::Command(words.to_string()),
            _ => return Err("top-1, cosine, boxes, characters or command=WORDS is needed".into()),
        },
    })
}

fn blank(text: &str) -> Result<Blank, String> {
    match text {
        "none" => Ok(Blank(None)),
        _ => text.parse().map(|class| Blank(Some(class))).map_err(|error| error.to_string()),
    }
}

impl Metrics {
    /// Whether the data must say what is right.
    pub(crate) fn needs_labels(&self) -> bool {
        self.metric == Some(Metric::Top1)
    }

    /// The measure and its limit, if one is named that needs no labels.
    pub(crate) fn likeness(
        &self,
        model: &dyn Model,
    ) -> Result<Option<(Arc<dyn Likeness>, Option<f64>)>> {
        let Some(metric) = &self.metric else { return Ok(None) };
        let Blank(blank) = self.metric_blank.unwrap_or(Blank(Some(0)));
        let likeness: Arc<dyn Likeness> = match metric {
            Metric::Top1 => return Ok(None),
            Metric::Cosine => Arc::new(OfOutput(self.places(model, ["0"])?[0])),
            Metric::Boxes => {
                let [boxes, scores] = self.places(model, ["boxes", "scores"])?;
                Arc::new(Boxes { boxes, scores, background: blank })
            }
            Metric::Characters => {
                let [output] = self.places(model, ["0"])?;
                // No class is as large as that.
                Arc::new(Characters { output, blank: blank.unwrap_or(usize::MAX) })
            }
            Metric::Command(words) => Arc::new(Own {
                words: words.clone(),
                outputs: model.output_names(),
                direction: match self.lower_is_better {
                    true => Direction::LowerIsBetter,
                    false => Direction::HigherIsBetter,
                },
            }),
        };
        Ok(Some((likeness, self.metric_limit)))
    }

    /// The places of the outputs that are named, or of those that are usually called so; `0` is the first.
    fn places<const N: usize>(&self, model: &dyn Model, usual: [&str; N]) -> Result<[usize; N]> {
        let known = model.output_names();
        let mut places = [0; N];
        let given = &self.metric_outputs;
        for (i, place) in places.iter_mut().enumerate() {
            let wanted = match given.get(i) {
                None if given.is_empty() && usual[i] == "0" => continue,
                None if given.is_empty() => usual[i],
                None => return Err(self.unnamed(&known, N)),
                Some(name) => name,
            };
            let found = known.iter().position(|name| name == wanted);
            *place = found.ok_or_else(|| self.unnamed(&known, N))?;
        }
        match given.len() > N {
            true => Err(self.unnamed(&known, N)),
            false => Ok(places),
        }
    }

    fn unnamed(&self, known: &[String], count: usize) -> anyhow::Error {
        Problem::MetricOutputs { count, known: known.join(", ") }.into()
    }
}

/// The cosine of one of the outputs.
struct OfOutput(usize);

impl Likeness for OfOutput {
    fn name(&self) -> &str {
        Likeness::name(&Cosine)
    }

    fn usual_limit(&self) -> f64 {
        Cosine.usual_limit()
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> tinytorch::Result<Alike> {
        let OfOutput(place) = *self;
        Cosine.compare(&int8[place.min(int8.len())..], &float[place.min(float.len())..])
    }
}

/// A command of the user's own.
struct Own {
    words: String,
    outputs: Vec<String>,
    direction: Direction,
}

impl Likeness for Own {
    fn name(&self) -> &str {
        &self.words
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> tinytorch::Result<Alike> {
        let scores = self.scores(int8, float);
        let (int8, float) = scores.map_err(|error| Refused(crate::sentence(&error)))?;
        Ok(Alike::Whole { int8, float })
    }
}

/// Why a command gave no number.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl tinytorch::CustomError for Refused {}

impl Own {
    fn scores(&self, int8: &[Tensor], float: &[Tensor]) -> Result<(f64, f64)> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let write = |name: &str, outputs: &[Tensor]| {
            let path = folder.path().join(name);
            let named: Vec<(&str, &Tensor)> =
                self.outputs.iter().map(String::as_str).zip(outputs).collect();
            write_npz(&path, &named)?;
            Ok::<_, anyhow::Error>(path)
        };
        let (int8, float) = (write("int8.npz", int8)?, write("float.npz", float)?);
        Ok((self.score(&int8, &float)?, self.score(&float, &float)?))
    }

    /// The number that the command prints in its last line.
    fn score(&self, outputs: &Path, float: &Path) -> Result<f64> {
        let failed = |problem: String| Problem::Metric { words: self.words.clone(), problem };
        let mut shell = match cfg!(windows) {
            true => {
                let mut shell = Command::new("cmd");
                shell.arg("/C").arg(&self.words);
                shell
            }
            false => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{} \"$@\"", self.words)).arg("metric");
                shell
            }
        };
        let output = shell.arg(outputs).arg(float).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_string()
        };
        if !output.status.success() {
            let (status, told) = (output.status, last(&output.stderr));
            let told = if told.is_empty() { "it said nothing" } else { &told };
            return Err(failed(format!("{status}, {told}")).into());
        }
        let told = last(&output.stdout);
        let number = told.parse::<f64>().ok().filter(|number| number.is_finite());
        Ok(number.ok_or_else(|| failed(format!("it printed {told:?} and no number")))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(words: &str) -> Own {
        let (words, outputs) = (words.to_string(), vec!["y".to_string()]);
        Own { words, outputs, direction: Direction::HigherIsBetter }
    }

    #[test]
    fn a_command_is_given_files_and_prints_a_number() {
        let outputs = [Tensor::ones([2, 3]).unwrap()];
        let alike = own("echo told; test -s").compare(&outputs, &outputs).unwrap_err();
        assert!(alike.to_string().contains("no number"), "{alike}");
        // The first file is the int8 model's once and the float model's then.
        let words = "f() { case $1 in *int8.npz) echo 3;; *) echo; echo 4;; esac; }; f";
        let alike = own(words).compare(&outputs, &outputs).unwrap();
        assert_eq!(alike, Alike::Whole { int8: 3.0, float: 4.0 });
        let error = own("echo broken >&2; false").compare(&outputs, &outputs).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn metrics_are_known_by_name() {
        assert_eq!(metric("top-1"), Ok(Metric::Top1));
        assert_eq!(metric("command=a b"), Ok(Metric::Command("a b".into())));
        assert!(metric("command= ").is_err() && metric("bleu").is_err());
        assert_eq!(blank("none"), Ok(Blank(None)));
        assert!(blank("x").is_err());
    }
}
