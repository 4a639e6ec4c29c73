//! What is digested of ops, each alone: its output, op by op and deployed, and the gradient of its input.

use super::values::Values;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::PoolGeometry;
use tinytorch::nn::{Forward, Module};
use tinytorch::ops::{Rope, RopePairs};
use tinytorch::plan::Plan;
use tinytorch::{Result, Rng, Tensor};

/// One op, or a few.
#[derive(Module, Clone, Copy, Debug)]
struct Alone {
    #[module(config)]
    run: fn(&Var, &mut Ctx<'_>) -> Result<Var>,
}

impl Forward for Alone {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        (self.run)(x, ctx)
    }
}

type Named = (&'static str, fn(&Var, &mut Ctx<'_>) -> Result<Var>);

/// For `[batch, 6, 8]`, positive.
const ON_ROWS: [Named; 39] = [
    ("relu", |x, ctx| x.relu(ctx)),
    ("sigmoid", |x, ctx| x.sigmoid(ctx)),
    ("tanh", |x, ctx| x.tanh(ctx)),
    ("silu", |x, ctx| x.silu(ctx)),
    ("gelu", |x, ctx| x.gelu(ctx)),
    ("gelu_tanh", |x, ctx| x.gelu_tanh(ctx)),
    ("gelu_sigmoid", |x, ctx| x.gelu_sigmoid(ctx)),
    ("exp", |x, ctx| x.exp(ctx)),
    ("ln", |x, ctx| x.ln(ctx)),
    ("sqrt", |x, ctx| x.sqrt(ctx)),
    ("abs", |x, ctx| x.abs(ctx)),
    ("neg", |x, ctx| x.neg(ctx)),
    ("add_scalar", |x, ctx| x.add_scalar(-0.75, ctx)),
    ("mul_scalar", |x, ctx| x.mul_scalar(1.3, ctx)),
    ("clamp", |x, ctx| x.clamp(0.4, 0.9, ctx)),
    ("pow", |x, ctx| x.pow(1.7, ctx)),
    ("softmax_last", |x, ctx| x.softmax(2, ctx)),
    ("softmax_middle", |x, ctx| x.softmax(1, ctx)),
    ("log_softmax", |x, ctx| x.log_softmax(2, ctx)),
    ("sum", |x, ctx| x.sum(ctx)),
    ("mean", |x, ctx| x.mean(ctx)),
    ("sum_axis", |x, ctx| x.sum_axis(1, false, ctx)),
    ("mean_axis", |x, ctx| x.mean_axis(2, true, ctx)),
    ("max_axis", |x, ctx| x.max_axis(1, true, ctx)),
    ("permute", |x, ctx| x.permute(&[0, 2, 1], ctx)),
    ("transpose", |x, ctx| x.transpose(1, 2, ctx)),
    ("slice", |x, ctx| x.slice(1, 1..5, ctx)),
    ("flatten", |x, ctx| x.flatten(1, 2, ctx)),
    ("unflatten", |x, ctx| x.unflatten(2, &[2, 4], ctx)),
    ("unsqueeze", |x, ctx| x.unsqueeze(1, ctx)?.mul_scalar(2.0, ctx)),
    ("add", |x, ctx| x.add(&x.slice(1, 0..1, ctx)?, ctx)),
    ("sub", |x, ctx| x.sub(&x.slice(2, 3..4, ctx)?, ctx)),
    ("mul", |x, ctx| x.mul(&x.tanh(ctx)?, ctx)),
    ("div", |x, ctx| x.div(&x.add_scalar(1.0, ctx)?, ctx)),
    ("matmul", |x, ctx| x.matmul(&x.transpose(1, 2, ctx)?, ctx)),
    ("cat", |x, ctx| Var::cat(&[x, &x.relu(ctx)?, &x.slice(1, 0..2, ctx)?], 1, ctx)),
    ("stack", |x, ctx| Var::stack(&[x, &x.exp(ctx)?], 1, ctx)),
    ("dropout", |x, ctx| x.dropout(0.3, ctx)),
    ("rope", |x, ctx| {
        let [interleaved, halves] =
            [RopePairs::Interleaved, RopePairs::Halves].map(|pairs| Rope::new(100.0, pairs));
        let heads = x.unflatten(2, &[2, 4], ctx)?.transpose(1, 2, ctx)?;
        heads.rope(interleaved, 3, ctx)?.rope(halves, 0, ctx)
    }),
];

/// For images `[batch, 4, 9, 10]`.
const ON_IMAGES: [Named; 7] = [
    ("max_pool2d", |x, ctx| x.max_pool2d(PoolGeometry::square(2), ctx)),
    ("max_pool2d_padded", |x, ctx| {
        x.max_pool2d(PoolGeometry::square(3).with_stride(2).with_padding(1), ctx)
    }),
    ("avg_pool2d", |x, ctx| x.avg_pool2d(PoolGeometry::square(2), ctx)),
    ("avg_pool2d_padded", |x, ctx| {
        x.avg_pool2d(PoolGeometry::square(3).with_stride(2).with_padding(1), ctx)
    }),
    ("global_avg_pool2d", |x, ctx| x.global_avg_pool2d(ctx)),
    ("pad_shortcut", |x, ctx| x.pad_shortcut(2, 10, ctx)),
    ("normalize", |x, ctx| {
        x.normalize([0.1, 0.2, 0.3, 0.4].into(), [0.5, 0.6, 0.7, 0.8].into(), ctx)
    }),
];

type Loss = (&'static str, fn(&Var, &Tensor, &mut Ctx<'_>) -> Result<Var>);

/// For outputs and targets `[batch, 8]` from 0 to 1.
const LOSSES: [Loss; 6] = [
    ("mse_loss", |x, t, ctx| x.mse_loss(t, ctx)),
    ("binary_cross_entropy", |x, t, ctx| x.binary_cross_entropy(t, ctx)),
    ("binary_cross_entropy_with_logits", |x, t, ctx| x.binary_cross_entropy_with_logits(t, ctx)),
    ("distillation_loss", |x, t, ctx| x.distillation_loss(t, 2.5, ctx)),
    ("cross_entropy", |x, t, ctx| x.cross_entropy(&t.argmax_last()?, ctx)),
    ("cross_entropy_smoothed", |x, t, ctx| x.cross_entropy_smoothed(&t.argmax_last()?, 0.1, ctx)),
];

fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::rand(shape, 0.05, 0.95, &mut Rng::seed(seed)).unwrap()
}

/// Every op on a small and on a larger batch, on which work is shared among threads.
pub(crate) fn ops(values: &mut Values) {
    let batch = |n: usize, sample: &[usize]| [&[n], sample].concat();
    for (sample, ops) in [(&[6, 8][..], &ON_ROWS[..]), (&[4, 9, 10], &ON_IMAGES)] {
        for &(name, run) in ops {
            for n in [3, 800] {
                let input = random(&batch(n, sample), n as u64);
                one(values, &format!("{name}/{n}"), Alone { run }, &input);
            }
        }
    }
    for (name, loss) in LOSSES {
        let [outputs, targets] = [1, 2].map(|seed| random(&[700, 8], seed));
        let mut ctx = Ctx::train(Rng::seed(1));
        let input = ctx.input(&outputs);
        let loss = loss(&input, &targets, &mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        values.tensor(&format!("{name}/value"), loss.value());
        values.tensor(&format!("{name}/gradient"), grads.of_input(&input).unwrap());
    }
}

fn one(values: &mut Values, name: &str, op: Alone, input: &Tensor) {
    let output = op.forward(&input.into(), &mut Ctx::eval()).unwrap().into_value();
    values.tensor(&format!("{name}/eager"), &output);
    match Plan::compile(&op, input).and_then(|mut plan| plan.run(input)) {
        Ok(output) => values.tensor(&format!("{name}/plan"), &output),
        Err(_) => values.put(&format!("{name}/plan"), "refused"),
    }
    let mut ctx = Ctx::train(Rng::seed(1));
    let entered = ctx.input(input);
    let output = op.forward(&entered, &mut ctx).unwrap();
    // Not all the same, so that gradients of sums that are constant do not vanish.
    let weights = Tensor::rand(*output.shape(), -1.0, 1.0, &mut Rng::seed(2)).unwrap();
    let loss = output.mul(&weights.into(), &mut ctx).unwrap().sum(&mut ctx).unwrap();
    let grads = ctx.backward(&loss).unwrap();
    values.tensor(&format!("{name}/gradient"), grads.of_input(&entered).unwrap());
}
