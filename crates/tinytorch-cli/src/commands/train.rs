//! `train`: a model learns.

use crate::Verdict;
use crate::commands::quantize::settings::weight_bits;
use crate::data::{Calibrating, Learner, Source, check_examples, usual_config};
use crate::output::Screen;
use crate::overwrite::Paths;
use crate::scale;
use anyhow::{Context, Result};
use clap::{ArgGroup, Args, ValueEnum, value_parser};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use tinytorch::audit::{REFERENCES, Reference};
use tinytorch::autograd::Var;
use tinytorch::data::{Compose, DataLoader, Examples, Labels, RandomCrop, RandomHorizontalFlip};
use tinytorch::files::{
    Loaded, Provenance, check_writable, digest_params, digest_tensors, load_model, save_model,
};
use tinytorch::fit::lora::{self, AdapterConfig};
use tinytorch::fit::{convert, prepare_qat};
use tinytorch::int8::{Granularity, WeightBits};
use tinytorch::models::{Architecture, MlpConfig, Model};
use tinytorch::nn::{Init, Module};
use tinytorch::quant::{QuantConfig, QuantRecord};
use tinytorch::text::Tokenizer;
use tinytorch::train::{
    EpochRecord, Method, ProgressBar, Recipe, TrainableSummary, trainable_summary,
};

/// Train a new model or a saved one, and save it with its architecture.
///
/// The learning rate falls along half a cosine. After every epoch the model is evaluated on the data's
/// test part, which it never learns from; of data without one, a fifth is held out. A text has a part of
/// its own for that, which chooses the epoch to keep and ends the training when nothing gets better.
///
/// What is not said is as an audit without arguments has it for digits-mlp, digits-cnn and talks-gpt on their
/// embedded data, so that both train the same model.
#[derive(Args)]
#[command(group(ArgGroup::new("start").required(true).args(["file", "model"])))]
pub(crate) struct Train {
    /// File of a model to go on from, instead of a new one
    file: Option<PathBuf>,
    /// Name of an architecture, such as digits-mlp, digits-cnn, mnist-mlp, mnist-cnn or talks-gpt; a .json
    /// file that describes one; or mlp, which takes its sizes from the data
    #[arg(long, value_name = "PRESET|FILE.json|mlp")]
    model: Option<String>,
    /// Folder or file to learn from, or `digits` or `tinytalks`, which are embedded; of a .txt file a new gpt
    /// learns the characters
    #[arg(long, value_name = "PATH|digits|tinytalks")]
    data: Source,
    /// Which column of a .csv holds the labels, where its names or values do not tell
    #[arg(long, value_name = "first|last|NAME|none")]
    labels: Option<Labels>,
    /// Passes over the training data, 10 unless this is given
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// File to save the model to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File for the state of the training, written after every epoch
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Go on from the state in --checkpoint, if it is there, with the same arguments: the result is the
    /// same as that of a training that was never interrupted
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Seed of initial weights, order of the data, and augmentation
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Highest learning rate; by default 0.003, for sgd 0.05
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Samples in one step, 64 unless this is given
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// What turns gradients into steps, adamw unless this is given
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerName>,
    /// Random changes to the training images: windows of the padded image, mirror images, or both
    #[arg(long, value_enum, value_name = "CHANGE", value_delimiter = ',')]
    augment: Vec<Augmentation>,
    /// Round weights and activations to int8 steps while training, learn the steps, and save the model as
    /// int8
    #[arg(long, requires = "file")]
    qat: bool,
    /// Bits that the values of the int8 weights use, of the 8 in which each is stored
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = weight_bits, requires = "qat")]
    bits: WeightBits,
    /// Leave the weights of linear layers, int8 or not, as they are, and train adapters of this rank
    /// beside them
    #[arg(long, value_name = "RANK", requires = "file", conflicts_with = "qat")]
    adapters: Option<usize>,
    /// Replace the model that the training goes on from
    #[arg(long)]
    force: bool,
    /// Print the epochs as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum OptimizerName {
    Adam,
    Adamw,
    Sgd,
}

impl From<OptimizerName> for Method {
    fn from(name: OptimizerName) -> Method {
        match name {
            OptimizerName::Adam => Method::Adam,
            OptimizerName::Adamw => Method::AdamW,
            OptimizerName::Sgd => Method::Sgd,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Augmentation {
    Crop,
    Flip,
}

/// Training samples that give activations their first ranges.
const CALIBRATION: usize = 512;

/// A model to train.
struct Start {
    model: Box<dyn Model>,
    provenance: Provenance,
    /// The preset or the file it comes from.
    name: String,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome<'a> {
    model: &'a str,
    data: &'a str,
    file: String,
    parameters: usize,
    epochs: &'a [EpochRecord],
    accuracy: Option<f64>,
    loss: f64,
    samples: usize,
}

impl Train {
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths::to(&*self.out)
            .and_to(self.checkpoint.as_deref())
            .reading_model(self.file.as_deref(), self.force)
            .reading(self.data.path())
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let Start { mut model, mut provenance, name } = self.start()?;
        check_writable(&self.out)?;
        let own = provenance.tokenizer()?;
        let data = self.data().to_learn(&*model, own.as_ref().map(|own| own as &dyn Tokenizer))?;
        check_examples(&data.train, &data.name, &*model)?;
        check_examples(&data.held_out, &data.name, &*model)?;
        scale::check(data.train.inputs(), &data.name, &provenance)?;
        data.note(&mut provenance)?;
        let origin = data.origin();
        let recipe = self.recipe();
        let loader = self.loader(data.train, recipe.batch)?;
        let held_out = DataLoader::new(data.held_out, recipe.batch)?;
        let trainer = recipe.trainer(loader.len() as u64, data.choosing, self.seed);
        let mut trainer = trainer.progress(ProgressBar::until(recipe.epochs));
        let config = self.prepare(&mut *model, &mut provenance)?;
        let summary = trainable_summary(&*model);
        if let Some(checkpoint) =
            self.checkpoint.as_ref().filter(|file| self.resume && file.exists())
        {
            trainer.resume(checkpoint, &mut *model)?;
        }
        // Without a terminal there is no bar that shows the epochs.
        let tells = !self.json && !std::io::stderr().is_terminal();
        while trainer.epochs() < recipe.epochs && !trainer.stopped() {
            let done = trainer.fit(&mut model, &loader, Some(&held_out), 1)?;
            if let Some(record) = done.last().filter(|_| tells) {
                writeln!(screen, "{record}")?;
                screen.flush()?;
            }
            if let Some(checkpoint) = &self.checkpoint {
                trainer.save_model(checkpoint, &*model, &provenance)?;
            }
        }
        trainer.restore_best(&mut *model);
        if let Some(config) = config {
            QuantRecord::new(&config, &convert(&mut *model)?).write(&mut provenance)?;
        }
        origin.note(Learner::Training, &mut provenance);
        if let Some(tokenizer) = &data.tokenizer {
            provenance.set_tokenizer(tokenizer);
        }
        save_model(&self.out, &*model, &provenance)?;

        let metrics = trainer.evaluate(&model, &held_out)?;
        let outcome = Outcome {
            model: &name,
            data: &data.name,
            file: self.out.display().to_string(),
            parameters: model.param_count(),
            epochs: trainer.history(),
            accuracy: metrics.accuracy,
            loss: metrics.loss,
            samples: metrics.samples,
        };
        match self.json {
            true => screen.json(&outcome)?,
            false => outcome.print(&summary, screen)?,
        }
        Ok(Verdict::Good)
    }

    fn data(&self) -> Source {
        self.data.clone().with_labels(self.labels.as_ref())
    }

    /// The settings that are asked for, and for the rest those of the audit's reference of this name and data, or else
    /// the usual ones.
    fn recipe(&self) -> Recipe {
        let data = self.data.to_string();
        let is_this = |reference: &&Reference| {
            Some(reference.name) == self.model.as_deref() && reference.data() == data
        };
        let usual = REFERENCES.iter().find(is_this).map(|known| known.recipe).unwrap_or_default();
        let method = self.optimizer.map_or(usual.method, Method::from);
        let rate = if method == usual.method { usual.rate } else { method.usual_rate() };
        Recipe {
            epochs: self.epochs.unwrap_or(usual.epochs),
            batch: self.batch_size.unwrap_or(usual.batch),
            method,
            rate: self.lr.unwrap_or(rate),
        }
    }

    /// The model to begin with.
    fn start(&self) -> Result<Start> {
        let Some(file) = &self.file else {
            // One of the two is required.
            let name = self.model.clone().unwrap_or_default();
            let mut architecture = self.architecture(&name)?;
            if let (Architecture::Gpt(config), Some(characters)) =
                (&mut architecture, self.data.characters()?)
            {
                config.vocab = characters;
            }
            let model = architecture.build(&mut Init::seed(self.seed))?;
            return Ok(Start { model, provenance: Provenance::default(), name });
        };
        let Loaded { model, provenance } = load_model(file)?;
        Ok(Start { model, provenance, name: file.display().to_string() })
    }

    /// What `--model` names.
    fn architecture(&self, name: &str) -> Result<Architecture> {
        if name == "mlp" {
            let (inputs, outputs) = self.data().sizes()?;
            return Ok(Architecture::Mlp(MlpConfig { inputs, hidden: vec![64, 64], outputs }));
        }
        if !name.ends_with(".json") {
            return Ok(Architecture::preset(name)?);
        }
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
        Architecture::from_config(&text).with_context(|| name.to_string())
    }

    /// Puts beside the weights what is to be trained with them; returns how the model is to be
    /// quantized afterwards.
    fn prepare(
        &self,
        model: &mut dyn Model,
        provenance: &mut Provenance,
    ) -> Result<Option<QuantConfig>> {
        if let Some(rank) = self.adapters {
            // The usual choice: the product counts twice.
            let config = AdapterConfig { rank, alpha: 2.0 * rank as f32 };
            lora::attach(model, "*", config, &mut Init::seed(self.seed))?;
        }
        if !self.qat {
            return Ok(None);
        }
        provenance.float_sha256 = Some(digest_params(model)?);
        let own = provenance.tokenizer()?;
        let own = own.as_ref().map(|own| own as &dyn Tokenizer);
        let Calibrating { inputs, origin, .. } =
            self.data().to_calibrate(model, own, CALIBRATION, self.seed)?;
        let n = inputs.shape()[0];
        let size = self.recipe().batch;
        let batch = |start: usize| {
            Ok(Var::from(inputs.slice(0, start..n.min(start.saturating_add(size)))?))
        };
        let config = usual_config(model)
            .map(|scheme| scheme.with_bits(self.bits).with_granularity(Granularity::PerChannel));
        prepare_qat(model, (0..n).step_by(size).map(batch), &config)?;
        origin.note(Learner::Calibration, provenance);
        provenance.calibration_sha256 = Some(digest_tensors(&[("inputs", inputs.clone())])?);
        Ok(Some(config))
    }

    fn loader(&self, train: Examples, batch: usize) -> Result<DataLoader> {
        let shape = *train.inputs().shape();
        let loader = DataLoader::new(train, batch)?.shuffle(true).seed(self.seed);
        if self.augment.is_empty() {
            return Ok(loader);
        }
        let mut changes = Compose::new();
        if self.augment.contains(&Augmentation::Crop) {
            let (height, width) = match *shape.dims() {
                [.., height, width] => (height, width),
                _ => (1, shape.last_dim()),
            };
            // An eighth of the image on each side: 4 pixels of 32, as is usual for CIFAR-10.
            let padding = (height.min(width) / 8).max(1);
            changes = changes.then(RandomCrop::new(height, width, padding)?);
        }
        if self.augment.contains(&Augmentation::Flip) {
            changes = changes.then(RandomHorizontalFlip::new(0.5)?);
        }
        Ok(loader.transform(changes).prefetch(2))
    }
}

impl Outcome<'_> {
    fn print(&self, summary: &TrainableSummary, screen: &mut Screen) -> Result<()> {
        if !summary.untrained.is_empty() {
            writeln!(screen, "the training {summary}")?;
        }
        let accuracy = self.accuracy.map(|a| format!("accuracy {:.2} %, ", a * 100.0));
        writeln!(
            screen,
            "{}: {}loss {:.4} on {} held-out samples of {}; {} parameters saved to {}",
            self.model,
            accuracy.unwrap_or_default(),
            self.loss,
            self.samples,
            self.data,
            self.parameters,
            self.file
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        train: Train,
    }

    fn recipe(line: &str) -> Recipe {
        let words = ["train", "--out", "o"].into_iter().chain(line.split(' '));
        Line::try_parse_from(words).unwrap().train.recipe()
    }

    #[test]
    fn references_are_trained_as_the_audit_trains_them() {
        for reference in REFERENCES {
            let line = format!("--model {} --data {}", reference.name, reference.data());
            assert_eq!(recipe(&line), reference.recipe);
            assert_ne!(recipe(&line), Recipe::default());
        }
        // As README has it.
        let cnn = recipe("--model digits-cnn --data digits --epochs 12");
        assert_eq!(cnn, recipe("--model digits-cnn --data digits"));
    }

    #[test]
    fn what_is_said_is_done_and_other_models_and_data_have_the_usual_settings() {
        let said = recipe("--model digits-mlp --data digits --epochs 3 --batch-size 8 --lr 0.5");
        assert_eq!(said, Recipe { epochs: 3, batch: 8, method: Method::Adam, rate: 0.5 });
        let sgd = recipe("--model digits-mlp --data digits --optimizer sgd");
        assert_eq!((sgd.method, sgd.rate, sgd.epochs), (Method::Sgd, 0.05, 30));
        for other in
            ["--model digits-mlp --data mnist/", "--model mlp --data digits", "m --data digits"]
        {
            assert_eq!(recipe(other), Recipe::default(), "{other}");
        }
    }
}
