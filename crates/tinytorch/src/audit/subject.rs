//! What an audit is about: two models and data to judge them by.

use super::{AuditError, HeldOut, Likeness, Metric, Task, passes, rounding};
use crate::Result;
use crate::files::{FileError, Loaded, Provenance, digest_params, open_with, own_file};
use crate::int8::{Encoding, QWeight, WeightBits};
use crate::models::{Kinds, ListModel, Model, Sequence, compile};
use crate::quant::{
    Activations, Equalization, QuantConfig, QuantRecord, QuantReport, Scheme, SeenRows, Tried,
    equalize, is_weight,
};
use crate::tensor::Tensor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The entry of a file's metadata that names what its model was trained on.
const TRAINING_DATA: &str = "training_data";

/// Characters of a description that an error shows.
const SHOWN: usize = 300;

/// What an audit is about: a float model, the int8 model that was made from it, and data that
/// neither training nor calibration has seen.
///
/// The models are any two of one type that is [`Rebuild`](crate::models::Rebuild), or boxed ones.
pub struct Subject {
    /// What it is called in the report.
    pub name: String,
    /// The float model: as it was before quantizing, but for what was [fine-tuned](Subject::fine_tuned).
    pub float: Box<dyn Model>,
    /// The SHA-256 of the float model's tensors, taken before it was quantized.
    pub float_digest: String,
    /// The int8 model.
    pub int8: Box<dyn Model>,
    /// Parameters that quantizing says it has changed, beside the int8 weights. No gate believes it: what may
    /// have changed follows from the float model.
    pub changed: Vec<String>,
    /// Weights whose layers are said to add to each channel what takes its mean to the float model's. What they add is judged
    /// by what it does to the means on the samples that judge.
    pub corrected: BTreeSet<String>,
    /// How it was quantized.
    pub config: QuantConfig,
    /// The samples to judge by.
    pub held_out: HeldOut,
    /// What the models are for.
    pub task: Task,
    /// The files of the float and the int8 model, if that is what is judged; none of a float model in a form
    /// that only importing reads.
    pub delivered: Option<(Option<PathBuf>, PathBuf)>,
    /// The files that were given, where those that are judged were made of them.
    pub(super) given_as: [Option<GivenFile>; 2],
    /// The samples that the ranges were calibrated on, if that is known.
    pub seen: Option<SeenRows>,
    /// What the float model was trained on, by its own account.
    pub trained_on: Option<String>,
    /// What the samples that judge are called, and which of the data they are.
    pub(super) judged_on: Option<(String, String)>,
    /// The seed of everything that was drawn to make the models.
    pub(super) seed: Option<u64>,
    /// The steps that both models take with their own state fed back, if they have one.
    pub(super) sequence: Option<Sequence>,
    /// What the outputs are held against each other by, beside their error.
    pub(super) likeness: Option<(Arc<dyn Likeness>, Option<f64>)>,
    /// Of the float model as its file holds it, where what was quantized is an equal one with other channels.
    pub(super) given: Option<Given>,
    /// The models that were judged in a search for this one.
    pub(super) tried: Vec<Tried>,
    /// What was fine-tuned after quantizing, if anything was.
    pub(super) tuning: Option<Tuning>,
}

impl Subject {
    /// Two models, the second of which was made from the first, quantized with the settings of
    /// [`QuantConfig::default`] unless [`quantized_by`](Subject::quantized_by) tells. The task is what
    /// [`Task::for_target`] makes of the first target.
    ///
    /// # Errors
    /// [`AuditError::OtherKind`] for models of two descriptions, or what a float model without values
    /// reports.
    pub fn new(
        name: impl Into<String>,
        float: &dyn Model,
        int8: &dyn Model,
        held_out: impl Into<HeldOut>,
    ) -> Result<Subject> {
        let (of_float, of_int8) = (float.description()?, int8.description()?);
        if of_float != of_int8 {
            let short = |text: String| text.chars().take(SHOWN).collect();
            return Err(
                AuditError::OtherKind { float: short(of_float), int8: short(of_int8) }.into()
            );
        }
        let held_out: HeldOut = held_out.into();
        let held_out = match float.fixed_batch() {
            Some(samples) => held_out.in_passes_of(samples)?,
            None => held_out,
        };
        let task = held_out.targets().first().map_or(Task::Regression, Task::for_target);
        Ok(Subject {
            name: name.into(),
            float_digest: digest_params(float)?,
            float: float.clone_box(),
            int8: int8.clone_box(),
            changed: Vec::new(),
            corrected: BTreeSet::new(),
            config: QuantConfig::default(),
            held_out,
            task,
            delivered: None,
            given_as: [None, None],
            seen: None,
            trained_on: None,
            judged_on: None,
            seed: None,
            sequence: None,
            likeness: None,
            given: None,
            tried: Vec::new(),
            tuning: None,
        })
    }

    /// Tells how the int8 model was quantized, but for what [`Subject::equalized`] tells.
    pub fn quantized_by(mut self, config: &QuantConfig, report: &QuantReport) -> Subject {
        self.config = config.clone();
        self.changed.clone_from(&report.changed);
        self.corrected = report.corrected.iter().cloned().collect();
        self.tried.clone_from(&report.tried);
        self
    }

    /// Tells that the float model's channels were brought to one range before it was quantized. The int8 model is then
    /// held against that model, if it gives what the float model gives, to the bit, which a gate makes sure of.
    ///
    /// # Errors
    /// As [`equalize`], or if the float model does not run on the samples.
    pub fn equalized(mut self, by: &[Equalization]) -> Result<Subject> {
        if !by.is_empty() {
            self.given = Some(Given::of(&*self.float, &self.held_out)?);
            equalize(&mut *self.float as &mut dyn ListModel, by)?;
        }
        Ok(self)
    }

    /// How the int8 model is quantized by what it holds, whatever is said about it.
    pub(super) fn config_as_stored(&self) -> Result<QuantConfig> {
        let mut config = QuantConfig { range: self.config.range, ..QuantConfig::default() };
        for (name, param) in self.int8.named_params() {
            if !is_weight(param) {
                continue;
            }
            let scheme = match param.int8() {
                None => Scheme::Float,
                Some(weight) => Scheme::Int8 {
                    granularity: weight.scales().granularity(),
                    weight_bits: self.weight_bits(&name, Some(weight))?,
                    activations: match weight.input() {
                        Encoding::Static(_) => Activations::Static,
                        Encoding::PerRow => Activations::Dynamic,
                        Encoding::PerRow16 => Activations::Dynamic16,
                        Encoding::F32 => Activations::Float,
                    },
                },
            };
            config = config.with(name, scheme);
        }
        Ok(config)
    }

    /// The bits that an int8 weight's values may use: as few as is said, and no fewer than they do use.
    pub(super) fn weight_bits(&self, name: &str, int8: Option<&QWeight>) -> Result<WeightBits> {
        let said = self.config.scheme_of(name).weight_bits();
        let used = int8.map(rounding::bits_used).transpose()?;
        Ok(used.filter(|used| used.max() > said.max()).map_or(said, |_| WeightBits::EIGHT))
    }

    /// Tells which inputs the ranges were calibrated on, one tensor for each input of the model: the audit
    /// makes sure that none of them judges.
    ///
    /// # Errors
    /// As [`SeenRows::of`].
    pub fn calibrated_on(self, inputs: &[Tensor]) -> Result<Subject> {
        Ok(Subject { seen: Some(SeenRows::of(inputs)?), ..self })
    }

    /// Tells what the float model was trained on, for the report.
    pub fn trained_on(self, data: impl Into<String>) -> Subject {
        Subject { trained_on: Some(data.into()), ..self }
    }

    /// Tells what the samples that judge are called and which of the data they are, such as `test part`, for the
    /// report.
    pub fn judged_on(self, data: impl Into<String>, part: impl Into<String>) -> Subject {
        Subject { judged_on: Some((data.into(), part.into())), ..self }
    }

    /// Tells by which seed everything was drawn that made the models, for the report.
    pub fn seeded(self, seed: u64) -> Subject {
        Subject { seed: Some(seed), ..self }
    }

    /// What there is to judge by, for sentences.
    pub(super) fn counted(&self) -> String {
        match self.held_out.targets() {
            [] => format!("{} held-out samples", self.held_out.len()),
            targets => self.task.counted(targets),
        }
    }

    /// Judges both models over these steps too, each with its own state fed back: errors grow where a model goes on
    /// from what it gave before.
    pub fn over(self, sequence: Sequence) -> Subject {
        Subject { sequence: Some(sequence), ..self }
    }

    /// Holds the outputs of both models against each other by this measure too, which must reach `limit`, or what
    /// the measure itself says.
    pub fn alike_by(self, likeness: Arc<dyn Likeness>, limit: Option<f64>) -> Subject {
        Subject { likeness: Some((likeness, limit)), ..self }
    }

    /// Batches of the inputs by which a sample is known: a state is none of them.
    pub(super) fn given(&self) -> Box<dyn Iterator<Item = Result<Vec<Tensor>>> + '_> {
        match &self.sequence {
            Some(sequence) => Box::new(std::iter::once(Ok(sequence.given()))),
            None => Box::new(self.held_out.batches()),
        }
    }

    /// Tells what the models are for.
    pub fn task(self, task: Task) -> Subject {
        Subject { task, ..self }
    }

    /// Judges these files of the float and the int8 model, instead of files of the audit's own.
    pub fn files(self, float: impl Into<PathBuf>, int8: impl Into<PathBuf>) -> Subject {
        Subject { delivered: Some((Some(float.into()), int8.into())), ..self }
    }
}

/// What is kept of a float model: itself it would be held twice.
pub(super) struct Given {
    /// The SHA-256 of its tensors.
    pub(super) digest: String,
    /// What it gives for all samples.
    pub(super) outputs: Vec<Tensor>,
}

impl Given {
    fn of(model: &dyn Model, held_out: &HeldOut) -> Result<Given> {
        let mut plan = compile(model, &held_out.first(1)?)?;
        Ok(Given { digest: digest_params(model)?, outputs: passes::outputs(&mut plan, held_out)? })
    }
}

/// A fine-tuning after quantizing.
pub(super) struct Tuning {
    /// The parameters that it has changed or added.
    pub(super) names: BTreeSet<String>,
    /// The float model as it was before quantizing.
    pub(super) original: Box<dyn Model>,
}

/// The files of a float model and of the int8 model that was made from it, read.
///
/// ```no_run
/// use tinytorch::audit::{Budget, ModelFiles, AuditOptions, audit_model};
/// let files = ModelFiles::open("model.safetensors", "int8.safetensors")?;
/// let held_out = tinytorch::data::digits()?.test.unwrap();
/// let report = audit_model(&files.judged_by(held_out)?, &Budget::default(), &AuditOptions::default())?;
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub struct ModelFiles {
    float: (PathBuf, Loaded),
    int8: (PathBuf, Loaded),
    given_as: [Option<GivenFile>; 2],
}

/// A file in another form than the one that is judged.
#[derive(Clone, Debug)]
pub struct GivenFile {
    /// The file.
    pub path: PathBuf,
    /// Files that hold data of it.
    pub beside: Vec<PathBuf>,
}

impl GivenFile {
    /// Bytes of all of it.
    ///
    /// # Errors
    /// [`FileError::Read`] for a file that cannot be read any more.
    pub(super) fn bytes(&self) -> Result<usize> {
        let bytes = |path: &PathBuf| {
            let read = |source| FileError::Read { path: path.clone(), source };
            Ok(std::fs::metadata(path).map_err(read)?.len() as usize)
        };
        std::iter::once(&self.path).chain(&self.beside).map(bytes).sum()
    }
}

impl ModelFiles {
    /// Reads both models, in any form there is.
    ///
    /// # Errors
    /// What [`open_with`] reports, or [`AuditError`] unless the first is a float model and the second an
    /// int8 model of the same architecture.
    pub fn open(float: impl AsRef<Path>, int8: impl AsRef<Path>) -> Result<ModelFiles> {
        ModelFiles::open_with(float, int8, &Kinds::built_in())
    }

    /// [`ModelFiles::open`] for a program that has kinds of its own.
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn open_with(
        float: impl AsRef<Path>,
        int8: impl AsRef<Path>,
        kinds: &Kinds,
    ) -> Result<ModelFiles> {
        ModelFiles::open_made_of([None, None], float, int8, kinds)
    }

    /// [`ModelFiles::open_with`] of files that were made of others, which were given: errors and the report are about these, and the bytes
    /// of the int8 one count.
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn open_made_of(
        given_as: [Option<GivenFile>; 2],
        float: impl AsRef<Path>,
        int8: impl AsRef<Path>,
        kinds: &Kinds,
    ) -> Result<ModelFiles> {
        let read =
            |path: &Path| Ok::<_, crate::Error>((path.to_path_buf(), open_with(path, kinds)?));
        let (float, int8) = (read(float.as_ref())?, read(int8.as_ref())?);
        let given = |i: usize, own: &Path| -> PathBuf {
            given_as[i].as_ref().map_or_else(|| own.to_path_buf(), |given| given.path.clone())
        };
        if holds_int8(&*float.1.model) {
            return Err(AuditError::NotFloat { path: given(0, &float.0) }.into());
        }
        if !holds_int8(&*int8.1.model) {
            return Err(AuditError::NotInt8 { path: given(1, &int8.0) }.into());
        }
        if float.1.model.description()? != int8.1.model.description()? {
            let (float, int8) = (given(0, &float.0), given(1, &int8.0));
            return Err(AuditError::OtherArchitecture { float, int8 }.into());
        }
        Ok(ModelFiles { float, int8, given_as })
    }

    /// The float and the int8 model.
    pub fn models(&self) -> [&dyn Model; 2] {
        [&*self.float.1.model, &*self.int8.1.model]
    }

    /// Where the float and the int8 model come from.
    pub fn provenances(&self) -> [&Provenance; 2] {
        [&self.float.1.provenance, &self.int8.1.provenance]
    }

    /// The subject of an audit on these samples, under the name of the int8 model's file.
    ///
    /// # Errors
    /// [`QuantError`](crate::quant::QuantError) if the int8 file does not tell how it was made.
    pub fn judged_by(self, held_out: impl Into<HeldOut>) -> Result<Subject> {
        let ModelFiles { float: (float_path, float), int8: (int8_path, int8), given_as } = self;
        let record = QuantRecord::read(&int8.provenance)?;
        let seen = SeenRows::read(&int8.provenance)?;
        let trained_on = float.provenance.notes.get(TRAINING_DATA).cloned();
        let name = int8_path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let delivered =
            own_file(&int8_path)?.map(|file| Ok::<_, crate::Error>((own_file(&float_path)?, file)));
        let delivered = delivered.transpose()?;
        let subject = Subject::new(name, &*float.model, &*int8.model, held_out)?;
        let subject = subject.equalized(&record.equalized)?;
        Ok(Subject {
            float_digest: int8.provenance.float_sha256.unwrap_or_default(),
            changed: record.changed,
            corrected: record.corrected.into_iter().collect(),
            config: record.config,
            seen,
            trained_on,
            delivered,
            given_as,
            tried: record.tried,
            ..subject
        })
    }
}

fn holds_int8(model: &dyn Model) -> bool {
    model.named_params().iter().any(|(_, param)| param.int8().is_some())
}

/// The limits that an int8 model is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Largest relative L2 error of the output, as a fraction.
    pub max_error: f64,
    /// How good the float model must be to be worth the test, in the unit of its [`Task`]: an accuracy
    /// in percent that it reaches, or a perplexity that it does not exceed.
    pub float_floor: Option<f64>,
}

impl Default for Budget {
    /// 1 % error, and a float model of any quality.
    fn default() -> Self {
        Budget { max_error: 0.01, float_floor: None }
    }
}
