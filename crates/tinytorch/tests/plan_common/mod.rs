//! Models for the tests of plans, and the comparison they make.
#![allow(dead_code, reason = "each test binary uses its own part")]

use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::int8::Granularity;
use tinytorch::nn::{
    BatchNorm2d, Conv2d, Flatten, Forward, Init, Linear, MaxPool2d, Module, Relu, Sequential,
};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
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

/// Two convolutions around which the input is added, as in a ResNet.
#[derive(Module, Clone)]
pub(crate) struct Residual {
    stem: Conv2d,
    first: Conv2d,
    norm: BatchNorm2d,
    second: Conv2d,
    shortcut: Conv2d,
    head: Linear,
}

pub(crate) fn residual() -> Residual {
    let mut init = Init::seed(3);
    let same = ConvGeometry::default().with_padding(1);
    let half = ConvGeometry::default().with_stride(2);
    Residual {
        stem: Conv2d::new(3, 8, [3, 3], same, &mut init).unwrap(),
        first: Conv2d::new(8, 12, [3, 3], same.with_stride(2), &mut init).unwrap(),
        norm: BatchNorm2d::new(12, &mut init).unwrap(),
        second: Conv2d::new(12, 12, [3, 3], same, &mut init).unwrap(),
        shortcut: Conv2d::without_bias(8, 12, [1, 1], half, &mut init).unwrap(),
        head: Linear::new(12, 5, &mut init).unwrap(),
    }
}

impl Forward for Residual {
    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.stem.forward(x, ctx)?.relu(ctx)?;
        let y = self.norm.forward(&self.first.forward(&x, ctx)?, ctx)?.relu(ctx)?;
        let y = self.second.forward(&y, ctx)?;
        let y = y.add(&self.shortcut.forward(&x, ctx)?, ctx)?.relu(ctx)?;
        let y = y.global_avg_pool2d(ctx)?.flatten(1, 3, ctx)?;
        self.head.forward(&y, ctx)
    }
}

pub(crate) fn randn(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
}

pub(crate) fn quantize<M: Forward + Module>(
    model: &mut M,
    sample: &[usize],
    activations: Activations,
    granularity: Granularity,
) {
    let batch: Vec<usize> = [16].iter().chain(sample).copied().collect();
    let config = QuantConfig {
        activations,
        granularity,
        destroys_floats_knowingly: true,
        ..QuantConfig::default()
    };
    quantize_model(model, [Ok(Var::from(randn(&batch, 77)))], &config).unwrap();
}

pub(crate) fn eager<M: Forward>(model: &M, x: &Tensor) -> Tensor {
    model.forward(&x.into(), &mut Ctx::eval()).unwrap().into_value()
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Asserts that a plan gives the eager model's bits, or what is close enough for floats.
pub(crate) fn assert_equals_eager<M: Forward>(model: &M, sample: &[usize], tolerance: Option<f32>) {
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
