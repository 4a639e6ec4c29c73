use super::{Budget, Subject};
use crate::Result;
use crate::Rng;
use crate::autograd::{Ctx, Var};
use crate::data::{self, DataLoader, Examples};
use crate::io::digest_params;
use crate::models::{Architecture, Model};
use crate::nn::Init;
use crate::optim::{Adam, Optimizer};
use crate::quant::{QuantConfig, quantize_model};
use crate::tensor::Tensor;

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
pub const REFERENCES: [Reference; 1] =
    [Reference { name: "digits-mlp", float_floor: 0.95, epochs: 30 }];

/// Training samples that calibration sees: the ranges of small models settle within a few hundred.
const CALIBRATION: usize = 512;

impl Reference {
    /// Trains the model on the embedded digits and quantizes a copy of it.
    ///
    /// # Errors
    /// None in practice: the data is embedded and the architecture known.
    pub fn prepare(&self, seed: u64) -> Result<(Subject, Budget)> {
        let data = data::digits()?;
        let Some(held_out) = data.test.clone() else {
            unreachable!("the embedded digits have a held-out part")
        };
        let mut float = Architecture::preset(self.name)?.build(&mut Init::seed(seed))?;
        self.train(&mut *float, &data.train, seed)?;
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
            held_out,
        };
        Ok((subject, Budget { float_floor: self.float_floor, ..Budget::default() }))
    }

    fn train(&self, model: &mut dyn Model, examples: &Examples, seed: u64) -> Result<()> {
        let loader = DataLoader::new(examples.clone(), 64)?.shuffle(true).seed(seed);
        let mut adam = Adam::new(2e-3);
        for epoch in 0..self.epochs {
            for batch in loader.epoch(epoch) {
                let batch = batch?;
                let mut ctx = Ctx::train(Rng::seed(seed));
                let logits = model.forward(&Var::from(batch.inputs()), &mut ctx)?;
                let loss = logits.cross_entropy(batch.targets()?, &mut ctx)?;
                let grads = ctx.backward(&loss)?;
                adam.step(model, grads)?;
            }
        }
        Ok(())
    }
}

fn batches(inputs: &Tensor) -> Result<Vec<Var>> {
    let n = inputs.shape()[0];
    (0..n).step_by(64).map(|i| Ok(Var::from(inputs.slice(0, i..n.min(i + 64))?))).collect()
}
