//! A small model with everything that a training must treat differently: weights, biases, a running
//! statistic, and random numbers drawn in the pass.
#![allow(dead_code, reason = "each test file uses its part")]

use tinytorch::autograd::{Ctx, Gradients, Mode, Param, Role, Var};
use tinytorch::data::{DataLoader, TensorDataset, digits};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::{Result, Tensor};

#[derive(Module, Clone)]
pub(crate) struct Net {
    pub(crate) hidden: Linear,
    /// The running mean of the hidden layer.
    pub(crate) mean: Param,
    pub(crate) head: Linear,
}

impl Net {
    pub(crate) fn new(inputs: usize, width: usize, outputs: usize, seed: u64) -> Net {
        let mut init = Init::seed(seed);
        Net {
            hidden: Linear::new(inputs, width, &mut init).unwrap(),
            mean: Param::new(Tensor::zeros([width]).unwrap(), Role::Buffer),
            head: Linear::new(width, outputs, &mut init).unwrap(),
        }
    }

    /// All floats, by name.
    pub(crate) fn values(&self) -> Vec<(String, Vec<u32>)> {
        values(self)
    }

    /// The gradients of the sum of the outputs for an input of ones.
    pub(crate) fn some_gradients(&self) -> Gradients {
        let mut ctx = Ctx::train(tinytorch::Rng::seed(1));
        let inputs = self.hidden.weight.shape()[1];
        let x = Var::from(Tensor::ones([2, inputs]).unwrap());
        let loss = self.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
        ctx.backward(&loss).unwrap()
    }
}

impl Forward for Net {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rank = input.shape().rank();
        let x = if rank > 2 { input.flatten(1, rank - 1, ctx)? } else { input.clone() };
        let mut h = self.hidden.forward(&x, ctx)?.relu(ctx)?;
        let mean = Var::from(self.mean.value()?);
        if ctx.mode() == Mode::Train {
            ctx.update_buffer(&self.mean, 0.1, h.value().mean_axis(0, false)?);
            let noise = Tensor::rand(*h.shape(), 0.9, 1.1, ctx.rng())?;
            h = h.mul(&noise.into(), ctx)?;
        }
        self.head.forward(&h.sub(&mean, ctx)?, ctx)
    }
}

/// All floats of a model, bit by bit, by name.
pub(crate) fn values(model: &impl Module) -> Vec<(String, Vec<u32>)> {
    let floats = model.named_params().into_iter().filter(|(_, p)| p.int8().is_none());
    floats.map(|(name, p)| (name, bits(p.value().unwrap()))).collect()
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Two classes of points in the plane, on either side of a circle.
pub(crate) fn circle(samples: usize) -> TensorDataset {
    let mut rng = tinytorch::Rng::seed(5);
    let points = Tensor::rand([samples, 2], -1.0, 1.0, &mut rng).unwrap();
    let values = points.to_vec::<f32>().unwrap();
    let inside = |p: &[f32]| i64::from(p[0] * p[0] + p[1] * p[1] < 0.5);
    let labels: Vec<i64> = values.chunks_exact(2).map(inside).collect();
    TensorDataset::new([points, Tensor::from_vec(labels, [samples]).unwrap()]).unwrap()
}

/// Some of the embedded digits, in an order of every epoch's own.
pub(crate) fn some_digits(samples: usize) -> DataLoader {
    let indices: Vec<usize> = (0..samples).collect();
    let some = digits().unwrap().train.select(&indices).unwrap();
    DataLoader::new(some, 64).unwrap().shuffle(true).seed(3)
}
