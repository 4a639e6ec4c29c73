//! Models for the tests of plans, and the comparison they make.
#![allow(dead_code, reason = "each test binary uses its own part")]

use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::int8::Granularity;
use tinytorch::models::{Architecture, BertConfig, GptConfig, LlamaConfig, Model};
use tinytorch::nn::{
    BatchNorm2d, Conv2d, Flatten, Forward, Init, Linear, MaxPool2d, Module, Relu, Sequential,
};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::{Result, Rng, Tensor};

/// 784-512-256-10, or any other widths, with ReLU between.
pub(crate) fn mlp(widths: &[usize]) -> Sequential {
    let mut init = Init::seed(1);
    let mut model = Sequential::new();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            model = model.push(Relu);
        }
        model = model.push(Linear::new(pair[0], pair[1], &mut init).unwrap());
    }
    model
}

/// conv-pool-conv-pool-linear on 28 x 28 images.
pub(crate) fn cnn() -> Sequential {
    let mut init = Init::seed(2);
    let same = ConvGeometry::default().with_padding(1);
    let pool = PoolGeometry::square(2);
    Sequential::new()
        .push(Conv2d::new(1, 16, [3, 3], same, &mut init).unwrap())
        .push(Relu)
        .push(MaxPool2d::new(pool))
        .push(Conv2d::new(16, 32, [3, 3], same, &mut init).unwrap())
        .push(Relu)
        .push(MaxPool2d::new(pool))
        .push(Flatten)
        .push(Linear::new(32 * 49, 10, &mut init).unwrap())
}

/// Two convolutions around which the input is added.
#[derive(Module, Clone)]
struct Block {
    first: Conv2d,
    norm: Option<BatchNorm2d>,
    second: Conv2d,
    shortcut: Option<Conv2d>,
}

/// A network of [`Block`]s, with a pool after its first convolution.
#[derive(Module, Clone)]
pub(crate) struct ResNet {
    stem: Conv2d,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    head: Linear,
}

impl ResNet {
    /// Two blocks of each width, each width but the first at half the size of the one before.
    fn new(stem: Conv2d, pool: PoolGeometry, widths: &[usize], normed: bool) -> ResNet {
        let mut init = Init::seed(3);
        let same = ConvGeometry::default().with_padding(1);
        let mut blocks = Vec::new();
        for (i, &width) in widths.iter().enumerate() {
            for j in 0..2 {
                let from = if j == 0 && i > 0 { widths[i - 1] } else { width };
                let stride = if from == width { 1 } else { 2 };
                let narrow = ConvGeometry::default().with_stride(stride);
                let mut conv = |from, kernel, geometry| {
                    Conv2d::without_bias(from, width, [kernel; 2], geometry, &mut init).unwrap()
                };
                let first = conv(from, 3, same.with_stride(stride));
                let second = conv(width, 3, same);
                let shortcut = (stride > 1).then(|| conv(from, 1, narrow));
                let norm = normed.then(|| BatchNorm2d::new(width, &mut Init::seed(0)).unwrap());
                blocks.push(Block { first, norm, second, shortcut });
            }
        }
        let head = Linear::new(widths[widths.len() - 1], 10, &mut init).unwrap();
        ResNet { stem, pool: MaxPool2d::new(pool), blocks, head }
    }
}

/// A small network with batch norms after convolutions without a bias; for images of 3 channels.
pub(crate) fn residual() -> ResNet {
    let same = ConvGeometry::default().with_padding(1);
    let stem = Conv2d::new(3, 8, [3, 3], same, &mut Init::seed(2)).unwrap();
    ResNet::new(stem, PoolGeometry::square(2).with_stride(1), &[8, 12], true)
}

/// The shape of ResNet-18, for images of 3 x 224 x 224.
pub(crate) fn resnet18() -> ResNet {
    let half = ConvGeometry::default().with_padding(3).with_stride(2);
    let stem = Conv2d::new(3, 64, [7, 7], half, &mut Init::seed(2)).unwrap();
    let pool = PoolGeometry::square(3).with_stride(2).with_padding(1);
    ResNet::new(stem, pool, &[64, 128, 256, 512], false)
}

/// A small decoder as GPT-2, one as Llama with grouped heads, and an encoder as BERT, for ids below 50 of
/// which 0 is the encoder's padding.
pub(crate) fn transformers() -> [Architecture; 3] {
    let (vocab, context, dim, layers, heads, hidden) = (50, 40, 24, 2, 4, 44);
    let gpt = GptConfig {
        vocab,
        context,
        dim,
        layers,
        heads,
        hidden,
        dropout: 0.0,
        ..GptConfig::TALKS_GPT
    };
    let llama = LlamaConfig {
        vocab,
        context,
        dim,
        layers,
        heads,
        kv_heads: 2,
        hidden,
        ..LlamaConfig::LLAMA2_C
    };
    let (types, norm_eps, pad) = (2, 1e-12, 0);
    let bert = BertConfig {
        vocab,
        context,
        types,
        dim,
        layers,
        heads,
        hidden,
        norm_eps,
        pad,
        first_position: 0,
    };
    [Architecture::Gpt(gpt), Architecture::Llama(llama), Architecture::Bert(bert)]
}

/// The model with its linear layers in int8, of 16-bit activations if `wide`.
pub(crate) fn quantized_transformer(
    architecture: &Architecture,
    activations: Activations,
    wide: bool,
) -> Box<dyn Model> {
    let mut model = architecture.build(&mut Init::seed(7)).unwrap();
    let names = model.named_params().into_iter().map(|(name, _)| name);
    let is_linear = |name: &String| {
        (name.contains("_proj.") || name.contains(".linear")) && name.ends_with(".weight")
    };
    let mut config = QuantConfig::new(activations).knowingly();
    if wide && activations == Activations::Dynamic {
        let wide = config.scheme.with_activations(Activations::Dynamic16);
        config = names.filter(is_linear).fold(config, |config, name| config.with(name, wide));
    }
    quantize_model(&mut *model, [Ok(Var::from(ids(8, 16)))], &config).unwrap();
    model
}

/// Ids `[batch, length]` with some padding, in the middle and at the end.
pub(crate) fn ids(batch: usize, length: usize) -> Tensor {
    let id = |i: usize| if i % 11 == 4 || i % length >= 14 { 0 } else { (i * 7 % 50) as i64 };
    Tensor::from_vec((0..batch * length).map(id).collect(), [batch, length]).unwrap()
}

impl Forward for Block {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut y = self.first.forward(x, ctx)?;
        if let Some(norm) = &self.norm {
            y = norm.forward(&y, ctx)?;
        }
        let y = self.second.forward(&y.relu(ctx)?, ctx)?;
        match &self.shortcut {
            Some(shortcut) => y.add(&shortcut.forward(x, ctx)?, ctx)?.relu(ctx),
            None => y.add(x, ctx)?.relu(ctx),
        }
    }
}

impl Forward for ResNet {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut x = self.pool.forward(&self.stem.forward(x, ctx)?.relu(ctx)?, ctx)?;
        for block in &self.blocks {
            x = block.forward(&x, ctx)?;
        }
        let x = x.global_avg_pool2d(ctx)?.flatten(1, 3, ctx)?;
        self.head.forward(&x, ctx)
    }
}

pub(crate) fn randn(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
}

pub(crate) fn quantize<M: Forward<Output = Var> + Module>(
    model: &mut M,
    sample: &[usize],
    activations: Activations,
    granularity: Granularity,
) {
    let batch: Vec<usize> = [16].iter().chain(sample).copied().collect();
    let config = QuantConfig::new(Scheme::new(granularity, activations)).knowingly();
    quantize_model(model, [Ok(Var::from(randn(&batch, 77)))], &config).unwrap();
}

pub(crate) fn eager<M: Forward<Output = Var>>(model: &M, x: &Tensor) -> Tensor {
    model.forward(&x.into(), &mut Ctx::eval()).unwrap().into_value()
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Asserts that a plan gives the eager model's bits, or what is close enough for floats.
pub(crate) fn assert_equals_eager<M: Forward<Output = Var>>(
    model: &M,
    sample: &[usize],
    tolerance: Option<f32>,
) {
    let batch = |n: usize| [n].iter().chain(sample).copied().collect::<Vec<usize>>();
    let mut plan = Plan::compile(model, &randn(&batch(2), 5)).unwrap();
    for n in [1, 2, 3, 7, 2, 33, 0] {
        let x = randn(&batch(n), 100 + n as u64);
        let (want, got) = (eager(model, &x), plan.run(&x).unwrap());
        assert_eq!(got.shape(), want.shape());
        match tolerance {
            None => assert_eq!(bits(&got), bits(&want), "batch {n}, {:#?}", plan.steps()),
            Some(tolerance) => {
                let largest =
                    want.to_vec::<f32>().unwrap().iter().fold(0f32, |m, v| m.max(v.abs()));
                assert!(got.allclose(&want, tolerance, tolerance * largest).unwrap(), "batch {n}");
                assert_eq!(bits(&got), bits(&plan.run(&x).unwrap()));
            }
        }
    }
}
