//! What commands do, given values instead of arguments.

use crate::arrays::{joined, spread};
pub use crate::black_box::{Foreign, Places, Reads};
use crate::black_box::{held_to, not_held};
use crate::commands::audit::{Judge, subject};
use crate::commands::generate::{Cache, Generate};
use crate::commands::quantize::calibration::{Calibration, note};
use crate::commands::quantize::destination::Destination;
use crate::commands::quantize::ladder::Budget;
use crate::commands::quantize::made::{Made, make, make_of};
use crate::commands::quantize::outcome::Outcome;
use crate::commands::quantize::samples::Samples;
use crate::commands::quantize::settings::{Range, Settings};
use crate::commands::{embed, inspect, profile};
use crate::data::{EXAMPLE_TOKENS, Source, shortened, usual_config};
use crate::feedback::States;
use crate::open::is_onnx;
use crate::output::Progress;
use crate::overwrite::Paths;
use crate::own_form::{given_as, in_our_forms};
use crate::pictures::Pictures;
use crate::problem::Problem;
use crate::shapes::Shapes;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::{HeldOut, ModelFiles, Outside, Rows, Subject};
use tinytorch::files::{Embedder, Loaded, Provenance};
use tinytorch::generate::Generated;
use tinytorch::int8::WeightBits;
use tinytorch::models::{Kinds, Model};
use tinytorch::profile::Profile;
use tinytorch::quant::{Prepared, QuantConfig};

/// The kinds of models that files may hold.
pub fn kinds() -> Kinds {
    crate::open::kinds()
}

/// Reads a model in any form that commands read: tinytorch's own files and folders, ONNX, llama2.c.
///
/// # Errors
/// What the file system says, or what is wrong with the file.
pub fn open(file: &Path) -> Result<Loaded> {
    crate::open::open(file)
}

/// Inputs of one sample, or of as many as the model takes, of few tokens each, to trace a pass with.
///
/// # Errors
/// If the model does not tell what a sample is.
pub fn example(model: &dyn Model) -> Result<Vec<Tensor>> {
    shortened(model.example(model.fixed_batch().unwrap_or(1))?, EXAMPLE_TOKENS)
}

/// What `inspect --json` prints of a file.
///
/// # Errors
/// As for [`open`].
pub fn inspect(file: &Path) -> Result<serde_json::Value> {
    inspect::contents(file)
}

/// How weights become int8, by the words of the command `quantize`; `None` is what suits the model.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `per-channel`, `per-tensor` or `blocks`.
    pub granularity: Option<String>,
    /// Bits that the values of weights use, 2 to 8.
    pub bits: u8,
    /// `static`, `dynamic` or `float`.
    pub activations: Option<String>,
    /// `min-max`, `percentile`, `percentile=SHARE` or `mse`.
    pub range: String,
    /// Weights to leave as floats, by name.
    pub skip: Vec<String>,
    /// Ends of the names of weights whose dynamic activations take 16 bits.
    pub wide: Option<Vec<String>>,
    /// Largest error of the output, as a fraction.
    pub max_error: Option<f64>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        let (granularity, activations, wide, max_error) = (None, None, None, None);
        let (range, skip) = ("min-max".to_string(), Vec::new());
        Wanted { granularity, bits: 8, activations, range, skip, wide, max_error }
    }
}

impl Wanted {
    /// The settings for this model.
    ///
    /// # Errors
    /// One sentence that names the word that is none of those above.
    pub fn config(&self, model: &dyn Model) -> Result<QuantConfig> {
        let range = Range::from_str(&self.range).map_err(|problem| Problem::Argument {
            what: "range",
            got: self.range.clone(),
            problem,
        })?;
        let settings = Settings {
            granularity: choice("granularity", self.granularity.as_deref())?,
            bits: WeightBits::new(self.bits).map_err(tinytorch::Error::from)?,
            activations: choice("activations", self.activations.as_deref())?,
            range,
            skip: self.skip.clone(),
            wide: self.wide.clone(),
        };
        Ok(settings.config(usual_config(model), self.max_error.is_some()))
    }
}

fn choice<T: ValueEnum>(what: &'static str, word: Option<&str>) -> Result<Option<T>> {
    let parsed = word.map(|word| T::from_str(word, false).map_err(|_| word));
    parsed.transpose().map_err(|got| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|value| value.get_name().to_string()).collect();
        Problem::Choice { what, got: got.to_string(), known: known.join(", ") }.into()
    })
}

/// Where a quantized model goes.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The float model's file or folder; `None` of a model that is in memory.
    pub of: Option<&'a Path>,
    /// The file, or the folder, for the int8 model.
    pub out: &'a Path,
    /// Whether it may replace the float model.
    pub force: bool,
}

impl Output<'_> {
    /// Makes sure that `model` can be written there and that it is nothing that is `read`, before the long work.
    ///
    /// # Errors
    /// One sentence that says what is in the way.
    pub fn check(&self, model: &dyn Model, read: Option<&Path>) -> Result<()> {
        Paths::to(self.out).reading_model(self.of, self.force).reading(read).check()?;
        Destination { of: self.of, out: self.out }.check(model)
    }

    /// The settings of a model that is written there: a file for other engines takes fixed ranges only.
    pub fn settings(&self, config: QuantConfig) -> QuantConfig {
        Destination { of: self.of, out: self.out }.settings(config)
    }

    /// Saves a model there, with what is told of it.
    ///
    /// # Errors
    /// What the file system says; nothing is left half-written then.
    pub fn save(&self, model: &dyn Model, provenance: &Provenance) -> Result<()> {
        Destination { of: self.of, out: self.out }.save(model, provenance)
    }
}

/// The inputs to calibrate with that `source` names: a path, `digits` or `tinytalks`; without one a single
/// example, which is enough where no activation is static. Beside them, whether the data say that the model's answers are
/// classes. The provenance then tells of them.
///
/// # Errors
/// What is wrong with the data, or that some are needed.
pub fn calibration(
    file: &Path,
    source: Option<OsString>,
    (samples, seed): (usize, u64),
    (model, config, wanted): (&dyn Model, &QuantConfig, &Wanted),
    provenance: &mut Provenance,
) -> Result<(Vec<Tensor>, bool)> {
    let calibrate = source.map(Source::from);
    let (pictures, labels) = (Pictures::default(), None);
    let states = States::default();
    let calibration = Calibration { calibrate, pictures, states, labels, samples, seed };
    calibration.inputs(file, model, config, wanted.max_error.is_some(), provenance)
}

/// The samples of batches, each of which holds a tensor for each input of the model, one batch after the other.
///
/// # Errors
/// What does not fit together.
pub fn one_after_the_other(batches: &[Vec<Tensor>]) -> Result<Vec<Arc<dyn Rows>>> {
    let of_input = |i: usize| {
        let parts: Vec<Tensor> = batches.iter().filter_map(|batch| batch.get(i).cloned()).collect();
        let all: Tensor = match &parts[..] {
            [one] => one.clone(),
            _ => joined(&parts)?,
        };
        Ok(Arc::new(all) as Arc<dyn Rows>)
    };
    (0..batches.first().map_or(0, Vec::len)).map(of_input).collect()
}

/// Copies of at most `samples` of these, spread over all of them; each input of the model has its rows. The provenance
/// then tells of them.
///
/// # Errors
/// What cannot be read, or inputs that are all one number.
pub fn calibration_of(
    inputs: &[Arc<dyn Rows>],
    samples: usize,
    model: &dyn Model,
    provenance: &mut Provenance,
) -> Result<Vec<Tensor>> {
    let inputs: Vec<&dyn Rows> = inputs.iter().map(|rows| &**rows).collect();
    let chosen = spread(&inputs, samples, model.fixed_batch())?;
    note(&chosen, "arrays", provenance)?;
    Ok(chosen)
}

/// What [`quantize`] has done.
pub struct Quantized(Made);

impl Quantized {
    /// Whether the budget was kept, if there was one.
    pub fn is_within(&self) -> bool {
        self.0.is_within()
    }

    /// What `quantize --json` prints; `out` is where the model was saved.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_json(&self, out: Option<&Path>) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(Outcome::new(out, &self.0))?)
    }
}

/// Turns the weights of `model` into int8, calibrated on `samples`, one tensor for each of its inputs, which say whether its
/// answers are classes: within a budget none of them is lost then. The provenance then tells how. `progress` is told what is done, and how many steps of how many.
///
/// # Errors
/// What cannot be quantized; the model is then as it was.
pub fn quantize(
    model: &mut dyn Model,
    (samples, has_classes): (&[Tensor], bool),
    config: QuantConfig,
    max_error: Option<f64>,
    provenance: &mut Provenance,
    progress: &mut Progress<'_>,
) -> Result<Quantized> {
    let samples = Samples::Apart(samples.to_vec());
    let mut tell = |_: &str| {};
    let seconds = None;
    let mut budget =
        max_error.map(|max_error| Budget { max_error, has_classes, seconds, tell: &mut tell });
    make(model, &samples, config, budget.as_mut(), provenance, progress).map(Quantized)
}

/// Turns the weights of `model` into int8 by what calibrations have found, here or elsewhere. The provenance then
/// tells how.
///
/// # Errors
/// What cannot be quantized, or findings of another model; the model is then as it was.
pub fn apply(
    model: &mut dyn Model,
    prepared: &Prepared,
    provenance: &mut Provenance,
) -> Result<Quantized> {
    make_of(model, prepared, provenance).map(Quantized)
}

/// Two models in files, judged by the data that `data` names: a path, `digits` or `tinytalks`. `folder` takes
/// the float model in another form if its own is not read by the fresh processes that measure memory.
///
/// # Errors
/// What is wrong with a file or does not fit.
pub fn judged_by_data(
    files: [&Path; 2],
    data: OsString,
    before: Option<&Path>,
    folder: &Path,
) -> Result<Subject> {
    let [float, int8] = in_our_forms(files, folder)?;
    subject(files, [&float, &int8], &Source::from(data), &Judge::default(), before)
}

/// Two models in files, for samples that are in memory; as [`judged_by_data`].
///
/// # Errors
/// What is wrong with a file.
pub fn model_files(files: [&Path; 2], folder: &Path) -> Result<ModelFiles> {
    let [float, int8] = in_our_forms(files, folder)?;
    let given = given_as(files, [&float, &int8])?;
    let read = ModelFiles::open_made_of(given, &float, &int8, &kinds());
    read.with_context(|| files[1].display().to_string())
}

/// Two graphs that are not the same one, with the files in a form that the probe's processes read, in `folder` if
/// they are not themselves; `None` of models that are judged by what they are made of.
///
/// # Errors
/// What is wrong with a file.
pub fn foreign(files: [&Path; 2], folder: &Path) -> Result<Option<(Foreign, [PathBuf; 2])>> {
    let ours = in_our_forms(files, folder)?;
    let foreign = Foreign::of([&*ours[0], &*ours[1]])?;
    Ok(foreign.map(|foreign| (foreign, ours.map(Cow::into_owned))))
}

/// The int8 model in an ONNX file as another engine runs it, held to what the integers of the file give, with a diagnosis
/// where it gives something else; and to the weights of the float model, if `float` is the file of one.
///
/// # Errors
/// If the samples do not fit the model.
pub fn held_to_integers(
    of_int8: Outside,
    engine: impl Reads,
    [float, int8]: [Option<&Path>; 2],
    samples: &HeldOut,
) -> Result<Outside> {
    let Some(file) = int8.filter(|file| is_onnx(file)) else { return Ok(of_int8) };
    let int8 = open(file).inspect_err(not_held).ok().map(|int8| int8.model);
    let float = float.and_then(|float| open(float).ok()).map(|float| float.model);
    held_to(of_int8, engine, [float.as_deref(), int8.as_deref()], file, samples)
}

/// What a pass costs; `shapes` are sizes of inputs by name, and sequences of ids are cut to `length`.
///
/// # Errors
/// What the model does not take.
pub fn costs(
    model: &dyn Model,
    shapes: impl IntoIterator<Item = (String, Vec<usize>)>,
    batch: Option<usize>,
    length: Option<usize>,
) -> Result<Profile> {
    profile::costs(model, &Shapes::of(shapes), batch, length)
}

/// How a text goes on, by the options of the command `generate`.
#[derive(Clone, Debug)]
pub struct Continuation {
    /// The model's file or folder.
    pub file: PathBuf,
    /// The tokenizer's file, if it is not beside the model.
    pub tokenizer: Option<PathBuf>,
    /// The text to continue.
    pub prompt: Option<String>,
    /// Largest number of tokens.
    pub steps: usize,
    /// Whether the likeliest token is taken always.
    pub greedy: bool,
    /// Divides the scores.
    pub temperature: f32,
    /// Choose among so many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Choose among the likeliest tokens of this probability together.
    pub top_p: Option<f32>,
    /// Of the choices.
    pub seed: u64,
    /// `f32`, `int8` or `none`.
    pub cache: String,
    /// Whether the weights become int8 first.
    pub int8: bool,
}

impl Continuation {
    /// The text and what follows it, of which `show` is told as it comes.
    ///
    /// # Errors
    /// What is wrong with a file or an option, or what `show` reports.
    pub fn continued(&self, show: impl FnMut(&str) -> tinytorch::Result<()>) -> Result<Generated> {
        let Continuation { steps, greedy, temperature, top_k, top_p, seed, int8, .. } = *self;
        let cache: Option<Cache> = choice("cache", Some(&self.cache))?;
        let (file, tokenizer, prompt) =
            (self.file.clone(), self.tokenizer.clone(), self.prompt.clone());
        let cache = cache.unwrap_or(Cache::F32);
        let json = false;
        let generate = Generate {
            file,
            tokenizer,
            prompt,
            steps,
            greedy,
            temperature,
            top_k,
            top_p,
            seed,
            cache,
            int8,
            json,
        };
        generate.continued(show)
    }
}

/// The sentence encoder in a folder, its weights in int8 if that is asked for.
///
/// # Errors
/// What is wrong with its files.
pub fn encoder(folder: &Path, int8: bool) -> Result<Embedder> {
    embed::load(folder, int8)
}

/// A row for each sentence, of which there is one at least.
///
/// # Errors
/// What the encoder does not take.
pub fn embed<S: AsRef<str>>(
    encoder: &Embedder,
    sentences: &[S],
    progress: &mut Progress<'_>,
) -> Result<Tensor> {
    embed::vectors(encoder, sentences, progress)
}
