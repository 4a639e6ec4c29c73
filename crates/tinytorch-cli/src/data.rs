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
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{self, Dataset, Examples, Labeled, TextWindows, stratified_split};
use tinytorch::files::{Provenance, digest_tensors};
use tinytorch::models::{Model, Sample};
use tinytorch::nn::Forward;
use tinytorch::quant::QuantConfig;
use tinytorch::tensor::{Dtype, Shape};
use tinytorch::text::CharTokenizer;

/// One sample in this many is held out of a data set without a test part.
const HELD_OUT: usize = 5;

/// Not an option: every command must find the same split.
const SPLIT_SEED: u64 = 0;

/// Data that is embedded, or a path.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Digits,
    Talks,
    Path(PathBuf),
}

impl From<OsString> for Source {
    fn from(name: OsString) -> Source {
        match name.to_str() {
            Some("digits") => Source::Digits,
            Some("tinytalks") => Source::Talks,
            _ => Source::Path(name.into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Digits => f.write_str("digits"),
            Source::Talks => f.write_str("tinytalks"),
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
    /// Whether the held-out samples may choose among the epochs, since others will judge.
    pub(crate) choosing: bool,
    /// What made ids of a text.
    pub(crate) tokenizer: Option<CharTokenizer>,
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
    /// The embedded images or those at a path; `None` of a text.
    fn load(&self) -> Result<Option<Labeled>> {
        Ok(match self {
            Source::Digits => Some(data::digits()?),
            Source::Path(path) => Some(data::load(path)?),
            Source::Talks => None,
        })
    }

    /// Data to train a model with.
    pub(crate) fn to_learn(&self, model: &dyn Model) -> Result<Learning> {
        let Some(Labeled { name, train, test, .. }) = self.load()? else {
            let (tokenizer, windows) = talks(model)?;
            let (train, held_out) = (windows.train, windows.valid);
            let (name, tokenizer) = (self.to_string(), Some(tokenizer));
            let learning =
                Learning { name, train, held_out, choosing: true, tokenizer, split_sha256: None };
            return Ok(learning);
        };
        let (choosing, tokenizer) = (false, None);
        Ok(match test {
            Some(held_out) => {
                Learning { name, train, held_out, choosing, tokenizer, split_sha256: None }
            }
            None => {
                let split_sha256 = Some(digest(&train)?);
                let (train, held_out) = hold_out(&train)?;
                Learning { name, train, held_out, choosing, tokenizer, split_sha256 }
            }
        })
    }

    /// Inputs to calibrate with, which need no labels.
    pub(crate) fn to_calibrate(
        &self,
        model: &dyn Model,
        samples: usize,
        seed: u64,
    ) -> Result<(Tensor, Origin)> {
        if let Source::Path(path) = self
            && data::load(path).is_err()
        {
            let inputs = load_inputs(path, model, samples, seed)?;
            return Ok((inputs, Origin { name: self.to_string(), split_sha256: None }));
        }
        let learning = self.to_learn(model)?;
        let origin = learning.origin();
        if learning.tokenizer.is_some() {
            let all = learning.train.len();
            let every = all.div_ceil(samples.max(1)).max(1);
            let chosen: Vec<usize> = (0..all).step_by(every).collect();
            return Ok((learning.train.select(&chosen)?.inputs().clone(), origin));
        }
        let data = Labeled::new(&learning.name, learning.train, None)?;
        Ok((data.calibration(samples, seed)?, origin))
    }

    /// Data to judge a model by, or models of one kind, that were made as `provenances` tell.
    pub(crate) fn to_judge(
        &self,
        model: &dyn Model,
        provenances: &[&Provenance],
    ) -> Result<Judging> {
        let Some(Labeled { name, train, test, .. }) = self.load()? else {
            let samples = talks(model)?.1.test;
            return Ok(Judging { name: self.to_string(), samples, part: Part::Test });
        };
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

/// Up to `count` inputs from a file without labels: token ids as they are, or what
/// [`data::load_calibration`] draws by the seed.
pub(crate) fn load_inputs(
    path: &Path,
    model: &dyn Model,
    count: usize,
    seed: u64,
) -> Result<Tensor> {
    if let Sample::Ids { .. } = sample_of(model)? {
        let ids = data::read_npy(path)?;
        let sequences = ids.shape().first().copied().unwrap_or(0).min(count);
        let shown = path.display().to_string();
        check_inputs(&ids, &shown, model)?;
        return match sequences {
            0 => Err(Problem::NoIds { data: shown }.into()),
            _ => Ok(ids.slice(0, 0..sequences)?),
        };
    }
    Ok(data::load_calibration(path, count, seed)?)
}

/// What a sample of the model's one input is.
fn sample_of(model: &dyn Model) -> Result<Sample> {
    match model.samples()?[..] {
        [sample] => Ok(sample),
        ref several => Err(Problem::SeveralInputs { count: several.len() }.into()),
    }
}

/// An input of `batch` samples for a model of one input.
pub(crate) fn example(model: &dyn Model, batch: usize) -> Result<Tensor> {
    Ok(sample_of(model)?.batch(batch)?)
}

/// What suits models of this kind.
pub(crate) fn usual_config(model: &dyn Model) -> QuantConfig {
    model.architecture().map_or_else(QuantConfig::default, |a| QuantConfig::for_architecture(&a))
}

/// The embedded text in windows that fill the model's context.
fn talks(model: &dyn Model) -> Result<(CharTokenizer, TextWindows)> {
    let Sample::Ids { context, .. } = sample_of(model)? else {
        return Err(Problem::TextForOther { data: Source::Talks.to_string() }.into());
    };
    let talks = data::tinytalks();
    let tokenizer = talks.tokenizer()?;
    let windows = talks.windows(&tokenizer, context)?;
    Ok((tokenizer, windows))
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
    let answer = model.call(&sample, &mut Ctx::eval())?;
    match *answer.shape().dims() {
        [1, classes] | [1, _, classes] if classes > 0 => {
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
    match sample_of(model)? {
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
