//! Sound models to plant faults in, and the ways to plant them: edited files, models that run in
//! another way than they say, and faulty instruction sets.

mod across;
mod blocks;
mod contents;
mod every_gate;
mod files;
mod folding;
mod fooled;
mod fuzz;
mod kernels;
mod language;
mod likeness;
pub(crate) mod models;
mod ops;
mod ranges;
mod structure;
mod values;

use contents::Contents;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tinytorch::audit::{
    AuditOptions, Budget, ModelFiles, ModelReport, Outcome, Probe, Subject, Task, audit_model,
};
use tinytorch::autograd::Var;
use tinytorch::data::{DataLoader, Examples, digits, tinytalks};
use tinytorch::files::{Provenance, digest_params, load_model, save_model};
use tinytorch::models::{Architecture, CnnBlock, CnnConfig, GptConfig, MlpConfig, Model};
use tinytorch::nn::Init;
use tinytorch::optim::Adam;
use tinytorch::quant::{Activations, QuantConfig, QuantRecord, SeenRows, quantize_model};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Tensor};
use tinytorch_kernels::Isa;
use tinytorch_kernels::isa::Fault;

/// One test at a time: audits read the whole process's heap.
pub(crate) struct Stage {
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) fn enter() -> Stage {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed has left nothing behind.
        Stage { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Five linear layers on images of -1 to 1: two that could be taken for each other, and one whose 63
    /// inputs leave a tail of three.
    pub(crate) fn mlp(&self) -> &'static Base {
        static BASE: OnceLock<Base> = OnceLock::new();
        BASE.get_or_init(|| self.another_mlp(8, 0))
    }

    /// The same layers, trained for so many epochs from another beginning.
    pub(crate) fn another_mlp(&self, epochs: u64, seed: u64) -> Base {
        let widths = MlpConfig { inputs: 64, hidden: vec![128, 128, 128, 63], outputs: 10 };
        Base::train(Architecture::Mlp(widths), centered_digits().unwrap(), epochs, seed).unwrap()
    }

    /// Two convolutions with batch norms that are folded, and two linear layers.
    pub(crate) fn cnn(&self) -> &'static Base {
        static BASE: OnceLock<Base> = OnceLock::new();
        let blocks = vec![CnnBlock { channels: 8, pool: 2 }, CnnBlock { channels: 16, pool: 1 }];
        let sizes = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![16], outputs: 10 };
        let architecture = Architecture::Cnn(sizes);
        BASE.get_or_init(|| Base::train(architecture, centered_digits().unwrap(), 4, 0).unwrap())
    }

    /// Convolutions of 16 channels and more, which are computed in transformed tiles where products of 16 bits are the
    /// fastest.
    pub(crate) fn wide_cnn(&self) -> &'static Base {
        static BASE: OnceLock<Base> = OnceLock::new();
        let blocks = [16, 16].map(|channels| CnnBlock { channels, pool: 1 }).to_vec();
        let sizes = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![], outputs: 10 };
        let architecture = Architecture::Cnn(sizes);
        BASE.get_or_init(|| Base::train(architecture, centered_digits().unwrap(), 3, 0).unwrap())
    }

    /// A block of a decoder whose token table is also its output head.
    pub(crate) fn gpt(&self) -> &'static Base {
        static BASE: OnceLock<Base> = OnceLock::new();
        let sizes = GptConfig {
            vocab: 69,
            context: 32,
            dim: 64,
            layers: 1,
            heads: 2,
            hidden: 128,
            dropout: 0.0,
            ..GptConfig::TALKS_GPT
        };
        let windows = tinytalks().windows(&tinytalks().tokenizer().unwrap(), 32).unwrap();
        let data = (windows.train, windows.test);
        BASE.get_or_init(|| Base::train(Architecture::Gpt(sizes), data, 1, 0).unwrap())
    }
}

/// The embedded digits with values of -1 to 1: to learn from, and to be judged by.
fn centered_digits() -> Result<(Examples, Examples)> {
    let data = digits()?;
    let centered = |examples: &Examples| {
        let values = examples.inputs().to_vec::<f32>()?.into_iter().map(|v| 2.0 * v - 1.0);
        let images = Tensor::from_vec(values.collect::<Vec<f32>>(), *examples.inputs().shape())?;
        Examples::new(images, examples.labels().clone())
    };
    Ok((centered(&data.train)?, centered(&data.test.unwrap())?))
}

/// A trained model, its int8 form, both in files, and what they learned and are judged from.
pub(crate) struct Base {
    folder: TempDir,
    pub(crate) train: Examples,
    pub(crate) held_out: Examples,
}

impl Base {
    fn train(
        architecture: Architecture,
        (train, held_out): (Examples, Examples),
        epochs: u64,
        seed: u64,
    ) -> Result<Base> {
        let mut model = architecture.build(&mut Init::seed(seed))?;
        let loader = DataLoader::new(train.clone(), 32)?.shuffle(true).seed(seed);
        let mut trainer = Trainer::new(Classification, Adam::new(2e-3)).seed(seed);
        trainer.fit(&mut model, &loader, None, epochs)?;
        let base = Base { folder: tempfile::tempdir().unwrap(), train, held_out };
        save_model(base.float(), &*model, &Provenance::default())?;
        let activations = match Task::of(&base.held_out) {
            Task::LanguageModel => Activations::Dynamic,
            _ => Activations::Static,
        };
        let config = QuantConfig::new(activations);
        base.quantize("int8", base.train.inputs(), &config)?;
        Ok(base)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.safetensors"))
    }

    pub(crate) fn float(&self) -> PathBuf {
        self.path("float")
    }

    pub(crate) fn int8(&self) -> PathBuf {
        self.path("int8")
    }

    /// Quantizes the float model into a file of this name, as `tinytorch quantize` does.
    pub(crate) fn quantize(
        &self,
        name: &str,
        calibration: &Tensor,
        config: &QuantConfig,
    ) -> Result<PathBuf> {
        let mut model = load_model(self.float())?.model;
        let float_sha256 = Some(digest_params(&*model)?);
        let batches = [Ok(Var::from(calibration))];
        let config = config.clone().knowingly();
        let report = quantize_model(&mut *model, batches, &config)?;
        let mut provenance = Provenance { float_sha256, ..Provenance::default() };
        QuantRecord::new(&config, &report).write(&mut provenance)?;
        SeenRows::of(std::slice::from_ref(calibration))?.write(&mut provenance);
        save_model(self.path(name), &*model, &provenance)?;
        Ok(self.path(name))
    }

    /// The sound model.
    pub(crate) fn subject(&self) -> Subject {
        self.subject_of(self.int8()).unwrap()
    }

    pub(crate) fn subject_of(&self, int8: PathBuf) -> Result<Subject> {
        ModelFiles::open(self.float(), int8)?.judged_by(self.held_out.clone())
    }

    /// A subject whose int8 file was edited.
    pub(crate) fn edited(&self, edit: impl FnOnce(&mut Contents)) -> Subject {
        self.subject_of(self.edited_file(edit)).unwrap()
    }

    pub(crate) fn edited_file(&self, edit: impl FnOnce(&mut Contents)) -> PathBuf {
        let mut contents = Contents::read(&self.int8());
        edit(&mut contents);
        contents.write(&self.path("edited"));
        self.path("edited")
    }

    /// What the float model's file holds.
    pub(crate) fn floats(&self) -> Contents {
        Contents::read(&self.float())
    }
}

/// Audits without a clock and without other processes.
pub(crate) fn audit(subject: &Subject) -> ModelReport {
    audit_with(subject, &AuditOptions::default())
}

pub(crate) fn audit_with(subject: &Subject, options: &AuditOptions) -> ModelReport {
    let float_floor = match subject.task {
        Task::LanguageModel => 12.0,
        _ => 90.0,
    };
    let budget = Budget { float_floor: Some(float_floor), ..Budget::default() };
    audit_model(subject, &budget, options).unwrap()
}

/// A machine that has scalar code and an instruction set with this fault, and runs models on the latter.
pub(crate) fn faulty(fault: Fault) -> AuditOptions {
    let deployed = Isa::Faulty(fault);
    AuditOptions { deployed, isas: vec![Isa::Scalar, deployed], ..AuditOptions::default() }
}

/// Asserts that a gate failed and that its reason names what is at fault.
#[track_caller]
pub(crate) fn assert_caught(report: &ModelReport, gate: &str, culprit: &str) {
    assert_eq!(report.verdict, Outcome::Fail);
    let found = report.gates.iter().find(|g| g.id == gate).unwrap();
    assert_eq!(found.result, Outcome::Fail, "{gate}: {}", found.reason);
    assert!(found.reason.contains(culprit), "{gate} does not name {culprit}: {}", found.reason);
}

/// What quantizing makes of a model, judged by the samples that it was calibrated on, of two classes in turn.
pub(crate) fn quantized(float: Box<dyn Model>, samples: Tensor) -> Subject {
    let mut int8 = float.clone();
    let config = QuantConfig::default().knowingly();
    let report = quantize_model(&mut *int8, [Ok(Var::from(&samples))], &config).unwrap();
    let n = samples.shape()[0];
    let labels = Tensor::from_vec((0..n as i64).map(|i| i % 2).collect(), [n]).unwrap();
    let held_out = Examples::new(samples, labels).unwrap();
    Subject::new("quantized", &*float, &*int8, held_out).unwrap().quantized_by(&config, &report)
}

/// Starts this binary anew, to run only the test of this name, which answers a probe.
pub(crate) fn probe(answering: &str) -> AuditOptions {
    let args = ["--exact", answering, "--ignored", "--nocapture", "--test-threads=1"];
    let args = args.map(String::from).to_vec();
    // Nothing here is about how long it takes, also where numeric code is not optimized.
    let limit = Duration::from_secs(900);
    let probe = Probe { limit, ..Probe::new(std::env::current_exe().unwrap(), args) };
    AuditOptions { probe: Some(probe), ..AuditOptions::default() }
}
