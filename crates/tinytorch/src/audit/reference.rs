//! The models that an audit without arguments trains, quantizes and judges.

use super::{Budget, Subject};
use crate::Result;
use crate::autograd::Var;
use crate::data::{self, DataLoader, Examples};
use crate::models::{Architecture, Model, Sample};
use crate::nn::Init;
use crate::quant::{Activations, QuantConfig, quantize_model};
use crate::tensor::Tensor;
use crate::train::{Method, Progress, Recipe};

/// A model that the audit without arguments trains, quantizes and judges.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The model's [preset](Architecture::preset).
    pub name: &'static str,
    /// How good the float model must be: see [`Budget::float_floor`].
    pub float_floor: f64,
    /// How the float model is trained.
    pub recipe: Recipe,
    data: Source,
}

/// What a reference model learns from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The embedded digits, with calibrated ranges for the activations.
    Digits,
    /// The embedded text, with a range found for each row of the activations.
    Talks,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Digits => "digits",
            Source::Talks => "tinytalks",
        }
    }
}

/// The reference models, in the order of the report.
pub const REFERENCES: [Reference; 3] = [
    Reference {
        name: "digits-mlp",
        float_floor: 95.0,
        recipe: Recipe { epochs: 30, batch: 64, method: Method::Adam, rate: 3e-3 },
        data: Source::Digits,
    },
    Reference {
        name: "digits-cnn",
        float_floor: 98.0,
        recipe: Recipe { epochs: 12, batch: 64, method: Method::Adam, rate: 3e-3 },
        data: Source::Digits,
    },
    Reference {
        name: "talks-gpt",
        float_floor: 6.0,
        recipe: Recipe { epochs: 8, batch: 32, method: Method::Adam, rate: 2e-3 },
        data: Source::Talks,
    },
];

/// Training samples that calibration sees: the ranges of small models settle within a few hundred.
const CALIBRATION: usize = 512;

/// Samples per calibration pass.
const CALIBRATION_BATCH: usize = 64;

/// What there is to learn from, to choose by and to judge by.
struct Parts {
    train: Examples,
    /// Decides which epoch's weights are kept.
    valid: Option<Examples>,
    held_out: Examples,
    calibration: Tensor,
    activations: Activations,
}

impl Reference {
    /// What the embedded data are called that the model learns from and is judged by.
    pub fn data(&self) -> &'static str {
        self.data.name()
    }

    /// Trains the model on its embedded data and quantizes a copy of it.
    ///
    /// # Errors
    /// None in practice: the data is embedded and the architecture known.
    pub fn prepare(
        &self,
        seed: u64,
        progress: impl Progress + 'static,
    ) -> Result<(Subject, Budget)> {
        let architecture = Architecture::preset(self.name)?;
        let parts = self.parts(&architecture.sample()?, seed)?;
        let mut float = architecture.build(&mut Init::seed(seed))?;
        self.train(&mut float, &parts, seed, progress)?;
        let mut int8 = float.clone();
        let batches = batches(&parts.calibration)?;
        let config = QuantConfig::new(parts.activations).knowingly();
        let report = quantize_model(&mut *int8, batches.into_iter().map(Ok), &config)?;
        let subject = Subject::new(self.name, &*float, &*int8, parts.held_out)?
            .quantized_by(&config, &report)
            .calibrated_on(std::slice::from_ref(&parts.calibration))?
            .trained_on("the training part of the same data set")
            .judged_on(self.data(), "test part")
            .seeded(seed);
        Ok((subject, Budget { float_floor: Some(self.float_floor), ..Budget::default() }))
    }

    fn parts(&self, sample: &Sample, seed: u64) -> Result<Parts> {
        match (self.data, sample) {
            (Source::Talks, &Sample::Ids { context, .. }) => {
                let talks = data::tinytalks();
                let windows = talks.windows(&talks.tokenizer()?, context)?;
                Ok(Parts {
                    // Dynamic ranges need no calibration; one window shows how the model runs.
                    calibration: windows.train.inputs().slice(0, 0..1)?,
                    train: windows.train,
                    valid: Some(windows.valid),
                    held_out: windows.test,
                    activations: Activations::Dynamic,
                })
            }
            _ => {
                let digits = data::digits()?;
                let calibration = digits.calibration(CALIBRATION, seed)?;
                let Some(held_out) = digits.test else {
                    unreachable!("the embedded digits have a held-out part")
                };
                let (train, activations) = (digits.train, Activations::Static);
                Ok(Parts { train, valid: None, held_out, calibration, activations })
            }
        }
    }

    fn train(
        &self,
        model: &mut Box<dyn Model>,
        parts: &Parts,
        seed: u64,
        progress: impl Progress + 'static,
    ) -> Result<()> {
        let Recipe { epochs, batch, .. } = self.recipe;
        let loader = DataLoader::new(parts.train.clone(), batch)?.shuffle(true).seed(seed);
        let valid = parts.valid.clone().map(|valid| DataLoader::new(valid, batch)).transpose()?;
        let trainer = self.recipe.trainer(loader.len() as u64, valid.is_some(), seed);
        let mut trainer = trainer.progress(progress);
        trainer.fit(model, &loader, valid.as_ref(), epochs)?;
        trainer.restore_best(model);
        Ok(())
    }
}

fn batches(inputs: &Tensor) -> Result<Vec<Var>> {
    let n = inputs.shape()[0];
    let batch = |i| Ok(Var::from(inputs.slice(0, i..n.min(i + CALIBRATION_BATCH))?));
    (0..n).step_by(CALIBRATION_BATCH).map(batch).collect()
}
