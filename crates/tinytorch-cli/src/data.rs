//! The data that a command is given: which part of it may be learned from, and which judges.
//!
//! A data set without a test part is split, always in the same way. Who learns from it, by training
//! or calibrating, takes the larger side and notes the data's digest in the model's file; whoever
//! judges such a file by the same data takes the other side, and by any other data all of it.

use crate::problem::Problem;
use anyhow::Result;
use serde::Serialize;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{self, Dataset, Examples, Labeled, stratified_split};
use tinytorch::io::{Provenance, digest_tensors};
use tinytorch::models::{Model, Sample};
use tinytorch::tensor::{Dtype, Shape};

/// One sample in this many is held out of a data set without a test part.
const HELD_OUT: usize = 5;

/// Not an option: every command must find the same split.
const SPLIT_SEED: u64 = 0;

/// The embedded digits, or a path.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Digits,
    Path(PathBuf),
}

impl From<OsString> for Source {
    fn from(name: OsString) -> Source {
        if name == "digits" { Source::Digits } else { Source::Path(name.into()) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Digits => f.write_str("digits"),
            Source::Path(path) => path.display().fmt(f),
        }
    }
}

/// Who has learned from a data set; begins the names of its entries in a file's metadata.
#[derive(Clone, Copy)]
pub(crate) enum Learner {
    Training,
    Calibration,
}

impl Learner {
    const ALL: [Learner; 2] = [Learner::Training, Learner::Calibration];

    fn data_key(self) -> &'static str {
        match self {
            Learner::Training => "training_data",
            Learner::Calibration => "calibration_data",
        }
    }

    fn digest_key(self) -> &'static str {
        match self {
            Learner::Training => "training_data_sha256",
            Learner::Calibration => "calibration_data_sha256",
        }
    }
}

/// What a file should tell of the data that was learned from.
pub(crate) struct Origin {
    name: String,
    /// Of the whole data set, if it had no test part and was split.
    split_sha256: Option<String>,
}

impl Origin {
    pub(crate) fn note(self, learner: Learner, provenance: &mut Provenance) {
        provenance.notes.insert(learner.data_key().to_string(), self.name);
        let digest = self.split_sha256.map(|sha256| (learner.digest_key().to_string(), sha256));
        provenance.notes.extend(digest);
    }
}

/// Data to learn from.
pub(crate) struct Learning {
    pub(crate) name: String,
    pub(crate) train: Examples,
    pub(crate) held_out: Examples,
    split_sha256: Option<String>,
}

impl Learning {
    pub(crate) fn origin(&self) -> Origin {
        Origin { name: self.name.clone(), split_sha256: self.split_sha256.clone() }
    }
}

/// Data to judge by.
pub(crate) struct Judging {
    pub(crate) name: String,
    pub(crate) samples: Examples,
    /// Which samples of the data set these are.
    pub(crate) part: Part,
}

/// Which samples of a data set judge a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Those that the data set itself sets apart.
    Test,
    /// Those that were set apart when the model learned from the data set.
    HeldOut,
    /// All of a data set that the model has not learned from.
    All,
}

impl Source {
    fn load(&self) -> Result<Labeled> {
        Ok(match self {
            Source::Digits => data::digits()?,
            Source::Path(path) => data::load(path)?,
        })
    }

    /// Data to train with.
    pub(crate) fn to_learn(&self) -> Result<Learning> {
        let Labeled { name, train, test, .. } = self.load()?;
        Ok(match test {
            Some(held_out) => Learning { name, train, held_out, split_sha256: None },
            None => {
                let split_sha256 = Some(digest(&train)?);
                let (train, held_out) = hold_out(&train)?;
                Learning { name, train, held_out, split_sha256 }
            }
        })
    }

    /// Inputs to calibrate with, which need no labels.
    pub(crate) fn to_calibrate(&self, samples: usize, seed: u64) -> Result<(Tensor, Origin)> {
        if let Source::Path(path) = self
            && data::load(path).is_err()
        {
            let inputs = data::load_calibration(path, samples, seed)?;
            return Ok((inputs, Origin { name: self.to_string(), split_sha256: None }));
        }
        let learning = self.to_learn()?;
        let origin = learning.origin();
        let data = Labeled::new(&learning.name, learning.train, None)?;
        Ok((data.calibration(samples, seed)?, origin))
    }

    /// Data to judge models by that were made as `provenances` tell.
    pub(crate) fn to_judge(&self, provenances: &[&Provenance]) -> Result<Judging> {
        let Labeled { name, train, test, .. } = self.load()?;
        if let Some(samples) = test {
            return Ok(Judging { name, samples, part: Part::Test });
        }
        let digest = digest(&train)?;
        let learned_from = |provenance: &&Provenance| {
            Learner::ALL.iter().any(|l| provenance.notes.get(l.digest_key()) == Some(&digest))
        };
        Ok(match provenances.iter().any(learned_from) {
            true => Judging { name, samples: hold_out(&train)?.1, part: Part::HeldOut },
            false => Judging { name, samples: train, part: Part::All },
        })
    }
}

/// The samples to learn from and those to be judged by.
fn hold_out(examples: &Examples) -> Result<(Examples, Examples)> {
    let count = (examples.len() / HELD_OUT).max(1);
    let split = stratified_split(examples.labels().as_slice()?, count, SPLIT_SEED)?;
    Ok((examples.select(&split.train)?, examples.select(&split.held_out)?))
}

fn digest(examples: &Examples) -> Result<String> {
    let tensors = [("inputs", examples.inputs().clone()), ("labels", examples.labels().clone())];
    Ok(digest_tensors(&tensors)?)
}

/// Refuses examples that the model cannot take, or whose labels are none of its classes.
pub(crate) fn check_examples(examples: &Examples, data: &str, model: &dyn Model) -> Result<()> {
    check_inputs(examples.inputs(), data, model)?;
    let sample = Var::from(examples.inputs().slice(0, 0..1)?);
    let answer = model.forward(&sample, &mut Ctx::eval())?;
    match *answer.shape().dims() {
        [1, classes] if classes > 0 => {
            Labeled::new(data, examples.clone(), None)?.with_classes(classes)?;
            Ok(())
        }
        _ => Err(Problem::NoClasses { got: *answer.shape() }.into()),
    }
}

/// Refuses inputs `[n, ..]` that the model cannot take. A model of flat samples flattens them itself.
pub(crate) fn check_inputs(inputs: &Tensor, data: &str, model: &dyn Model) -> Result<()> {
    let data = data.to_string();
    let got = Shape::new(inputs.shape().get(1..).unwrap_or_default())?;
    match model.architecture().sample()? {
        Sample::Values(expected) => {
            if got == expected || (expected.rank() == 1 && got.len() == expected.len()) {
                return Ok(());
            }
            Err(Problem::SampleShape { data, got, expected }.into())
        }
        _ if inputs.dtype() == Dtype::I64 => Ok(()),
        _ => Err(Problem::NoIds { data }.into()),
    }
}
