//! The data that a command is given: which part of it may be learned from, and which judges.
//!
//! A data set without a test part is split, always in the same way. Who learns from it, by training
//! or calibrating, takes the larger side and notes the data's digest in the model's file; whoever
//! judges such a file by the same data takes the other side, and by any other data all of it.

use crate::open::has_extension;
use crate::problem::Problem;
use crate::scale;
use crate::sentences::{is_text, read};
use anyhow::{Context, Result};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{
    self, Dataset, Examples, Labeled, Labels, Npz, TextWindows, Unlabeled, stratified_split,
};
use tinytorch::files::{Provenance, digest_tensors};
use tinytorch::generate::GenerateError;
use tinytorch::models::{Model, Sample};
use tinytorch::nn::Forward;
use tinytorch::quant::QuantConfig;
use tinytorch::tensor::{Dtype, Shape};
use tinytorch::text::{CharTokenizer, Tokenizer};

/// One sample in this many is held out of a data set without a test part.
const HELD_OUT: usize = 5;

/// Not an option: every command must find the same split.
const SPLIT_SEED: u64 = 0;

/// Data that is embedded, or a path.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Digits,
    Talks,
    Path(PathBuf, Labels),
}

impl Source {
    /// The same data, told which column of a table holds the labels.
    pub(crate) fn with_labels(self, labels: Option<&Labels>) -> Source {
        match (self, labels) {
            (Source::Path(path, _), Some(labels)) => Source::Path(path, labels.clone()),
            (other, _) => other,
        }
    }
}

impl From<OsString> for Source {
    fn from(name: OsString) -> Source {
        match name.to_str() {
            Some("digits") => Source::Digits,
            Some("tinytalks") => Source::Talks,
            _ => Source::Path(name.into(), Labels::Known),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Digits => f.write_str("digits"),
            Source::Talks => f.write_str("tinytalks"),
            Source::Path(path, _) => path.display().fmt(f),
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
    /// A data set of this name, all of which is learned from.
    pub(crate) fn of(name: String) -> Origin {
        Origin { name, split_sha256: None }
    }

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
    /// What the labels are called, if they were text.
    class_names: Option<Vec<String>>,
    split_sha256: Option<String>,
}

impl Learning {
    /// Notes the scale of the inputs and the names of the classes in the file of a model that was trained
    /// with them.
    pub(crate) fn note(&self, provenance: &mut Provenance) -> Result<()> {
        scale::note_training(self.train.inputs(), provenance)?;
        if let Some(names) = &self.class_names {
            provenance.notes.insert(CLASSES.to_string(), serde_json::to_string(names)?);
        }
        Ok(())
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { name: self.name.clone(), split_sha256: self.split_sha256.clone() }
    }
}

/// The note with the names of the classes.
const CLASSES: &str = "classes";

/// Inputs to calibrate with.
pub(crate) struct Calibrating {
    pub(crate) inputs: Tensor,
    pub(crate) origin: Origin,
    /// Whether the data tell right answers, so that what a model gives are scores of classes.
    pub(crate) has_classes: bool,
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

impl Part {
    /// What it is called in sentences.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Part::Test => "test part",
            Part::HeldOut => "held-out part",
            Part::All => "all of it",
        }
    }
}

impl Source {
    /// Whether a model takes it by way of its tokenizer.
    pub(crate) fn is_text(&self) -> bool {
        match self {
            Source::Talks => true,
            Source::Digits => false,
            Source::Path(path, _) => is_text(path),
        }
    }

    /// The number of characters of an own text, each of which a new model has as a token.
    pub(crate) fn characters(&self) -> Result<Option<usize>> {
        Ok(match self {
            Source::Path(path, _) if is_text(path) => {
                Some(CharTokenizer::from_corpus(parts(&read(path)?)[0])?.vocab_size())
            }
            _ => None,
        })
    }

    /// Where it lies, unless it is embedded.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Source::Path(path, _) => Some(path),
            Source::Digits | Source::Talks => None,
        }
    }

    /// The embedded images or those at a path; `None` of a text.
    fn load(&self) -> Result<Option<Labeled>> {
        Ok(match self {
            Source::Digits => Some(data::digits()?),
            Source::Path(path, _) if is_text(path) => None,
            Source::Path(path, labels) => Some(data::load_labeled(path, labels)?),
            Source::Talks => None,
        })
    }

    /// How many values a sample has, and how many classes there are.
    pub(crate) fn sizes(&self) -> Result<(usize, usize)> {
        let Some(labeled) = quietly(|| self.load())? else {
            return Err(Problem::TextForOther { data: self.to_string() }.into());
        };
        let inputs: usize = labeled.train.inputs().shape()[1..].iter().product();
        Ok((inputs, labeled.classes))
    }

    /// Data to train a model with; text becomes the ids of its own tokenizer, if it has one.
    pub(crate) fn to_learn(
        &self,
        model: &dyn Model,
        own: Option<&dyn Tokenizer>,
    ) -> Result<Learning> {
        let Some(Labeled { name, train, test, class_names, .. }) = self.load()? else {
            let Talks { tokenizer, windows } = self.talks(model, own)?;
            return Ok(Learning {
                name: self.to_string(),
                train: windows.train,
                held_out: windows.valid,
                choosing: true,
                tokenizer,
                class_names: None,
                split_sha256: None,
            });
        };
        let (split_sha256, train, held_out) = match test {
            Some(held_out) => (None, train, held_out),
            None => {
                let split_sha256 = Some(digest(&train)?);
                let (train, held_out) = hold_out(&train)?;
                (split_sha256, train, held_out)
            }
        };
        let (choosing, tokenizer) = (false, None);
        Ok(Learning { name, train, held_out, choosing, tokenizer, class_names, split_sha256 })
    }

    /// What to calibrate with, which needs no labels; text as for [`Source::to_learn`].
    pub(crate) fn to_calibrate(
        &self,
        model: &dyn Model,
        own: Option<&dyn Tokenizer>,
        samples: usize,
        seed: u64,
    ) -> Result<Calibrating> {
        if let Source::Path(path, labels) = self
            && !is_text(path)
            && quietly(|| data::load_labeled(path, labels)).is_err()
        {
            let inputs = load_inputs(path, labels, model, samples, seed)?;
            let origin = Origin::of(self.to_string());
            return Ok(Calibrating { inputs, origin, has_classes: false });
        }
        let learning = self.to_learn(model, own)?;
        let origin = learning.origin();
        if self.is_text() {
            let all = learning.train.len();
            let every = all.div_ceil(samples.max(1)).max(1);
            let chosen: Vec<usize> = (0..all).step_by(every).collect();
            let inputs = learning.train.select(&chosen)?.inputs().clone();
            return Ok(Calibrating { inputs, origin, has_classes: true });
        }
        let data = Labeled::new(&learning.name, learning.train, None)?;
        let inputs = data.calibration(samples, seed)?;
        Ok(Calibrating { inputs, origin, has_classes: true })
    }

    /// Data to judge a model by, or models of one kind, that were made as `provenances` tell; text becomes the
    /// ids of their own tokenizer, if they have one.
    pub(crate) fn to_judge(
        &self,
        model: &dyn Model,
        provenances: &[&Provenance],
        own: Option<&dyn Tokenizer>,
    ) -> Result<Judging> {
        let Some(mut labeled) = self.load()? else {
            let samples = self.talks(model, own)?.windows.test;
            return Ok(Judging { name: self.to_string(), samples, part: Part::Test });
        };
        let noted = |p: &&Provenance| serde_json::from_str(p.notes.get(CLASSES)?).ok();
        if let Some(classes) = provenances.iter().find_map(noted) {
            let classes: Vec<String> = classes;
            labeled = labeled.numbered_as(&classes)?;
        }
        let Labeled { name, train, test, .. } = labeled;
        for provenance in provenances {
            scale::check(test.as_ref().unwrap_or(&train).inputs(), &name, provenance)?;
        }
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

/// A look at data that are read again, and then warned of.
fn quietly<T>(look: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), look)
}

/// Up to `count` inputs from a file without labels: token ids as they are, or what
/// [`Unlabeled::load`] draws by the seed.
pub(crate) fn load_inputs(
    path: &Path,
    labels: &Labels,
    model: &dyn Model,
    count: usize,
    seed: u64,
) -> Result<Tensor> {
    let sample = sample_of(model)?;
    if let Sample::Ids { .. } = sample {
        let ids = read_ids(path)?;
        let sequences = ids.shape().first().copied().unwrap_or(0).min(count);
        let shown = path.display().to_string();
        check_inputs(&ids, &shown, model)?;
        return match sequences {
            0 => Err(Problem::NoIds { data: shown }.into()),
            _ => Ok(ids.slice(0, 0..sequences)?),
        };
    }
    let width = match sample {
        Sample::Values(shape) => Some(shape.len()),
        _ => None,
    };
    Ok(Unlabeled { count, seed, labels: labels.clone(), width }.load(path)?)
}

/// The array of an .npy, or the one of an .npz.
fn read_ids(path: &Path) -> Result<Tensor> {
    if !has_extension(path, "npz") {
        return Ok(data::read_npy(path)?);
    }
    let mut arrays = Npz::open(path)?;
    let names: Vec<String> = arrays.names().map(String::from).collect();
    match &names[..] {
        [name] => Ok(arrays.read(name)?),
        _ => {
            let (data, holds) = (path.display().to_string(), names.join(", "));
            Err(Problem::SeveralArrays { data, holds }.into())
        }
    }
}

/// What a sample of the model's one input is.
fn sample_of(model: &dyn Model) -> Result<Sample> {
    match model.samples()?[..] {
        [sample] => Ok(sample),
        ref several => Err(Problem::SeveralInputs { count: several.len() }.into()),
    }
}

/// Tokens of a text that a pass is traced with.
pub(crate) const EXAMPLE_TOKENS: usize = 16;

/// An input of `batch` samples for a model of one input, to trace a pass with: of a text a few tokens, since
/// a pass over a long context takes memory with its square and shows nothing else.
pub(crate) fn example(model: &dyn Model, batch: usize) -> Result<Tensor> {
    let sample = sample_of(model)?;
    Ok(shortened(vec![sample.batch(batch)?], EXAMPLE_TOKENS)?.remove(0))
}

/// Inputs whose sequences of token ids are cut to so many.
pub(crate) fn shortened(inputs: Vec<Tensor>, tokens: usize) -> Result<Vec<Tensor>> {
    let cut = |input: Tensor| match *input.shape().dims() {
        [_, length] if input.dtype() == Dtype::I64 && length > tokens => {
            Ok(input.slice(1, 0..tokens)?.contiguous()?)
        }
        _ => Ok(input),
    };
    inputs.into_iter().map(cut).collect()
}

/// What suits models of this kind.
pub(crate) fn usual_config(model: &dyn Model) -> QuantConfig {
    model.backbone().map_or_else(QuantConfig::default, |a| QuantConfig::for_architecture(&a))
}

/// A text as a model takes it.
struct Talks {
    windows: TextWindows,
    /// The text's own characters, if they are what made its ids.
    tokenizer: Option<CharTokenizer>,
}

impl Source {
    /// A text in windows that fill the model's context. Without a tokenizer a model is one of the text's
    /// characters if it has as many tokens.
    fn talks(&self, model: &dyn Model, own: Option<&dyn Tokenizer>) -> Result<Talks> {
        let data = || self.to_string();
        let Sample::Ids { context, vocab, .. } = sample_of(model)? else {
            return Err(Problem::TextForOther { data: data() }.into());
        };
        let text = match self {
            Source::Path(path, _) => Some(read(path)?),
            _ => None,
        };
        let talks = data::tinytalks();
        let parts = match &text {
            Some(text) => parts(text),
            None => [talks.train, talks.valid, talks.test],
        };
        if let Some(own) = own {
            let (tokenizer, model) = (own.vocab_size(), vocab);
            if tokenizer > model {
                return Err(
                    tinytorch::Error::from(GenerateError::Vocabulary { tokenizer, model }).into()
                );
            }
            let windows = TextWindows::new(parts, own, context).with_context(data)?;
            return Ok(Talks { windows, tokenizer: None });
        }
        let characters = CharTokenizer::from_corpus(parts[0])?;
        if characters.vocab_size() != vocab {
            return Err(Problem::UnknownIds { data: data(), vocab }.into());
        }
        let windows = TextWindows::new(parts, &characters, context).with_context(data)?;
        Ok(Talks { windows, tokenizer: Some(characters) })
    }
}

/// A text cut at ends of lines: eight tenths to learn from, one to choose by and one to be judged by.
fn parts(text: &str) -> [&str; 3] {
    let cut = |text: &str, tenths: usize, of: usize| {
        let at = text.len() / of * tenths;
        let line = text.as_bytes()[at..].iter().position(|byte| *byte == b'\n');
        line.map_or(text.len(), |line| at + line + 1)
    };
    let (train, rest) = text.split_at(cut(text, 8, 10));
    let (valid, test) = rest.split_at(cut(rest, 1, 2));
    [train, valid, test]
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
