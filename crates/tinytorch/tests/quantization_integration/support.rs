//! The models and the data that the tests share.

use std::sync::OnceLock;
use tinytorch::audit::{Subject, relative_error};
use tinytorch::autograd::{Ctx, Role, Var};
use tinytorch::data::{DataLoader, Examples, Labeled, digits};
use tinytorch::models::{Architecture, Model};
use tinytorch::nn::{
    AttentionConfig, FeedForward, Forward, Init, LayerNorm, Linear, Module, MultiHeadAttention,
    PositionalEncoding, TransformerBlock,
};
use tinytorch::optim::{Adam, Schedule};
use tinytorch::quant::{
    Activations, Ladder, Prices, QuantConfig, QuantReport, Search, quantize_model, quantize_within,
};
use tinytorch::train::{Classification, Trainer, evaluate};
use tinytorch::{Result, Rng, Tensor};

/// A model of any architecture, as trainers take it: a value of known size.
pub(crate) type AnyModel = Box<dyn Model>;

/// A transformer that reads an image row by row: eight tokens of eight pixels.
#[derive(Module, Clone)]
pub(crate) struct RowTransformer {
    pub(crate) embed: Linear,
    pub(crate) positions: PositionalEncoding,
    pub(crate) blocks: Vec<TransformerBlock>,
    pub(crate) norm: LayerNorm,
    pub(crate) head: Linear,
}

impl RowTransformer {
    const WIDTH: usize = 48;

    pub(crate) fn new(init: &mut Init) -> Result<RowTransformer> {
        let width = Self::WIDTH;
        let block = |init: &mut Init| -> Result<TransformerBlock> {
            let attention = MultiHeadAttention::new(AttentionConfig::new(width, 4), init)?;
            let mlp = FeedForward::new(width, 2 * width, init)?;
            let norms = [LayerNorm::new(width, init)?, LayerNorm::new(width, init)?];
            Ok(TransformerBlock::norm_first(attention, mlp, norms))
        };
        Ok(RowTransformer {
            embed: Linear::new(8, width, init)?,
            positions: PositionalEncoding::new(8, width, init)?,
            blocks: vec![block(init)?, block(init)?],
            norm: LayerNorm::new(width, init)?,
            head: Linear::new(8 * width, 10, init)?,
        })
    }
}

impl Forward for RowTransformer {
    type Output = Var;

    fn forward(&self, images: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rows = images.flatten(1, 2, ctx)?;
        let mut x = self.positions.forward(&self.embed.forward(&rows, ctx)?, ctx)?;
        for block in &self.blocks {
            x = block.forward(&x, ctx)?;
        }
        let whole = self.norm.forward(&x, ctx)?.flatten(1, 2, ctx)?;
        self.head.forward(&whole, ctx)
    }
}

/// The embedded digits, standardized: models that start from random weights expect inputs around 0.
pub(crate) fn standardized_digits() -> Labeled {
    const MEAN: f32 = 0.305;
    const STD: f32 = 0.376;
    let standardize = |examples: &Examples| {
        let inputs = examples.inputs().map(|v| (v - MEAN) / STD).unwrap();
        Examples::new(inputs, examples.labels().clone()).unwrap()
    };
    let data = digits().unwrap();
    let held_out = data.test.as_ref().map(standardize);
    Labeled::new("standardized digits", standardize(&data.train), held_out).unwrap()
}

/// The digits that no training has seen.
pub(crate) fn held_out() -> Examples {
    standardized_digits().test.unwrap()
}

/// A perceptron that reads digits.
pub(crate) fn mlp() -> &'static AnyModel {
    static MODEL: OnceLock<AnyModel> = OnceLock::new();
    MODEL.get_or_init(|| trained(untrained("digits-mlp", 0), 30))
}

/// A convolutional network that reads digits.
pub(crate) fn cnn() -> &'static AnyModel {
    static MODEL: OnceLock<AnyModel> = OnceLock::new();
    MODEL.get_or_init(|| trained(untrained("digits-cnn", 0), 12))
}

/// Convolutions and then a transformer, which read digits.
pub(crate) fn hybrid() -> &'static AnyModel {
    static MODEL: OnceLock<AnyModel> = OnceLock::new();
    MODEL.get_or_init(|| trained(untrained("digits-hybrid", 0), 8))
}

/// A [`RowTransformer`] that reads digits.
pub(crate) fn transformer() -> &'static RowTransformer {
    static MODEL: OnceLock<RowTransformer> = OnceLock::new();
    MODEL.get_or_init(|| trained(RowTransformer::new(&mut Init::seed(0)).unwrap(), 15))
}

/// Trains a model to read digits.
pub(crate) fn trained<M: Forward<Output = Var>>(mut model: M, epochs: u64) -> M {
    let loader = DataLoader::new(standardized_digits().train, 64).unwrap().shuffle(true);
    let total = epochs * loader.len() as u64;
    let schedule = Schedule::Cosine { warmup: 20, total, floor: 0.0 };
    let mut trainer = Trainer::new(Classification, Adam::new(3e-3)).schedule(schedule);
    trainer.fit(&mut model, &loader, None, epochs).unwrap();
    model
}

/// A preset with random weights.
pub(crate) fn untrained(preset: &str, seed: u64) -> AnyModel {
    Architecture::preset(preset).unwrap().build(&mut Init::seed(seed)).unwrap()
}

/// Where inputs come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Inputs {
    Uniform,
    Normal,
    Real,
}

impl Inputs {
    pub(crate) const ALL: [Inputs; 3] = [Inputs::Uniform, Inputs::Normal, Inputs::Real];

    /// Images to calibrate with and others to judge by.
    pub(crate) fn images(self) -> (Var, Var) {
        let draw = |seed| {
            let (shape, mut rng) = ([360, 1, 8, 8], Rng::seed(seed));
            match self {
                Inputs::Uniform => Tensor::rand(shape, -1.0, 1.0, &mut rng),
                Inputs::Normal => Tensor::randn(shape, 1.0, &mut rng),
                Inputs::Real if seed == 1 => standardized_digits().calibration(512, 0),
                Inputs::Real => Ok(held_out().inputs().clone()),
            }
        };
        let (calibration, judged) = (draw(1).unwrap(), draw(2).unwrap());
        (calibration.into(), judged.into())
    }
}

/// How weights are drawn: normal, with the deviation of Glorot and Bengio (2010) or He et al. (2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weights {
    Xavier,
    He,
}

impl Weights {
    pub(crate) const ALL: [Weights; 2] = [Weights::Xavier, Weights::He];

    /// A copy of a model whose weights are drawn anew.
    pub(crate) fn drawn<M: Module + Clone>(self, model: &M) -> M {
        let mut model = model.clone();
        self.draw(&mut model, 101);
        model
    }

    /// Draws every weight that is multiplied anew.
    fn draw(self, model: &mut dyn Module, seed: u64) {
        let mut rng = Rng::seed(seed);
        for (_, param) in model.named_params_mut() {
            let window = match param.role() {
                Role::LinearWeight => 1,
                Role::ConvWeight { .. } => param.shape()[2] * param.shape()[3],
                _ => continue,
            };
            let shape = param.shape();
            let (fan_in, fan_out) = (shape[1] * window, shape[0] * window);
            let std = match self {
                Weights::Xavier => (2.0 / (fan_in + fan_out) as f32).sqrt(),
                Weights::He => (2.0 / fan_in as f32).sqrt(),
            };
            *param.value_mut().unwrap() = Tensor::randn(shape, std, &mut rng).unwrap();
        }
    }
}

/// Settings that do not warn.
pub(crate) fn plain(activations: Activations) -> QuantConfig {
    QuantConfig::new(activations).knowingly()
}

/// A quantized copy of a model, and what quantizing says it has done.
pub(crate) fn quantized<M: Forward<Output = Var> + Clone>(
    model: &M,
    calibration: &Var,
    activations: Activations,
) -> (M, QuantReport) {
    let mut int8 = model.clone();
    let batches = [Ok(calibration.clone())];
    let report = quantize_model(&mut int8, batches, &plain(activations)).unwrap();
    (int8, report)
}

/// Every weight as precise as a hundredth of the output needs, found on the last third of `samples`.
pub(crate) fn within_budget<M: Forward<Output = Var>>(model: &mut M, samples: &Var) -> Ladder {
    let (all, of) = (samples.value(), samples.value().shape()[0]);
    let part = |range| [Var::from(all.slice(0, range).unwrap())];
    let (calibration, held_out) = (part(0..of * 2 / 3), part(of * 2 / 3..of));
    let (config, mut prices) =
        (plain(Activations::Static), Prices::table([1.0, 1.1, 1.4, 2.5, 3.0]));
    let silent = &mut |_, _| ();
    quantize_within(
        model,
        Search {
            calibration: &calibration,
            held_out: &held_out,
            max_error: 0.01,
            config: &config,
            prices: &mut prices,
            has_classes: true,
        },
        silent,
    )
    .unwrap()
}

/// What a model gives for an input.
pub(crate) fn output<M: Forward<Output = Var> + ?Sized>(model: &M, input: &Var) -> Tensor {
    model.forward(input, &mut Ctx::eval()).unwrap().into_value()
}

/// The audit's error of the int8 model's output: relative, in the L2 norm, mean removed.
pub(crate) fn error<M: Forward<Output = Var>>(float: &M, int8: &M, input: &Var) -> f64 {
    relative_error(&output(int8, input), &output(float, input)).unwrap()
}

/// Share of the rows on which the largest outputs of two models are the same.
pub(crate) fn agreement(a: &Tensor, b: &Tensor) -> f64 {
    let best = |t: &Tensor| t.argmax_last().unwrap().to_vec::<i64>().unwrap();
    let (a, b) = (best(a), best(b));
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    same as f64 / a.len() as f64
}

/// Share of the held-out digits that a model reads.
pub(crate) fn accuracy<M: Forward<Output = Var>>(model: &M) -> f64 {
    let loader = DataLoader::new(held_out(), 60).unwrap();
    evaluate(model, &Classification, &loader).unwrap().accuracy.unwrap()
}

/// All float values of a model, bit by bit, by name.
pub(crate) fn floats(model: &dyn Module) -> Vec<(String, Vec<u32>)> {
    let floats = model.named_params().into_iter().filter(|(_, p)| p.int8().is_none());
    floats.map(|(name, p)| (name, bits(p.value().unwrap()))).collect()
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// What an audit of these models is about, judged on `inputs`. The float model's answers are taken for
/// true.
pub(crate) fn subject(
    name: &str,
    float: AnyModel,
    int8: AnyModel,
    inputs: &Tensor,
    activations: Activations,
    changed: Vec<String>,
) -> Subject {
    let answers = output(&*float, &inputs.into()).argmax_last().unwrap();
    let held_out = Examples::new(inputs.clone(), answers).unwrap();
    let report = QuantReport { changed, ..QuantReport::default() };
    let subject = Subject::new(name, &*float, &*int8, held_out).unwrap();
    subject.quantized_by(&plain(activations), &report)
}
