use super::{Budget, Subject};
use crate::Result;
use crate::autograd::Var;
use crate::data::{self, DataLoader, Examples};
use crate::io::digest_params;
use crate::models::{Architecture, Model};
use crate::nn::Init;
use crate::optim::{Adam, Schedule};
use crate::quant::{QuantConfig, quantize_model};
use crate::tensor::Tensor;
use crate::train::{Classification, Progress, Trainer};

/// A model that the audit without arguments trains, quantizes and judges.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The model's [preset](Architecture::preset).
    pub name: &'static str,
    /// Held-out accuracy that makes it worth the test.
    pub float_floor: f64,
    epochs: u64,
}

/// The reference models, in the order of the report.
pub const REFERENCES: [Reference; 2] = [
    Reference { name: "digits-mlp", float_floor: 0.95, epochs: 30 },
    Reference { name: "digits-cnn", float_floor: 0.98, epochs: 12 },
];

/// Training samples that calibration sees: the ranges of small models settle within a few hundred.
const CALIBRATION: usize = 512;

/// Samples per step and per calibration pass.
const BATCH: usize = 64;

/// Adam's learning rate at the start of the cosine.
const PEAK_RATE: f64 = 3e-3;

impl Reference {
    /// Trains the model on the embedded digits and quantizes a copy of it.
    ///
    /// # Errors
    /// None in practice: the data is embedded and the architecture known.
    pub fn prepare(
        &self,
        seed: u64,
        progress: impl Progress + 'static,
    ) -> Result<(Subject, Budget)> {
        let data = data::digits()?;
        let Some(held_out) = data.test.clone() else {
            unreachable!("the embedded digits have a held-out part")
        };
        let mut float = Architecture::preset(self.name)?.build(&mut Init::seed(seed))?;
        self.train(&mut float, &data.train, seed, progress)?;
        let mut int8 = float.clone();
        let batches = batches(&data.calibration(CALIBRATION, seed)?)?;
        let config = QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::default() };
        let report = quantize_model(&mut *int8, batches.into_iter().map(Ok), &config)?;
        let subject = Subject {
            name: self.name.to_string(),
            float_digest: digest_params(&*float)?,
            float,
            int8,
            changed: report.changed,
            config,
            held_out,
            delivered: None,
        };
        Ok((subject, Budget { float_floor: self.float_floor, ..Budget::default() }))
    }

    fn train(
        &self,
        model: &mut Box<dyn Model>,
        examples: &Examples,
        seed: u64,
        progress: impl Progress + 'static,
    ) -> Result<()> {
        let loader = DataLoader::new(examples.clone(), BATCH)?.shuffle(true).seed(seed);
        let total = self.epochs * loader.len() as u64;
        let schedule = Schedule::Cosine { warmup: 0, total, floor: 0.0 };
        let trainer = Trainer::new(Classification, Adam::new(PEAK_RATE)).seed(seed);
        trainer.schedule(schedule).progress(progress).fit(model, &loader, None, self.epochs)?;
        Ok(())
    }
}

fn batches(inputs: &Tensor) -> Result<Vec<Var>> {
    let n = inputs.shape()[0];
    (0..n).step_by(BATCH).map(|i| Ok(Var::from(inputs.slice(0, i..n.min(i + BATCH))?))).collect()
}
