//! A plan computes what the eager model computes: int8 to the bit, floats to 1e-5.

mod plan_common;

use plan_common::{
    assert_equals_eager, bits, cnn, eager, ids, mlp, quantize, quantized_transformer, randn,
    residual, transformers,
};
use proptest::prelude::*;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::int8::Granularity;
use tinytorch::models::{Resnet, ResnetConfig};
use tinytorch::nn::{
    AvgPool2d, BatchNorm2d, Conv2d, Flatten, Forward, Init, Linear, MaxPool2d, Module, Relu,
    Sequential,
};
use tinytorch::ops::Resize;
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::{Result, Tensor};
use tinytorch_kernels::Isa;

const IN_INT8: [(Activations, Granularity); 4] = [
    (Activations::Static, Granularity::PerChannel),
    (Activations::Static, Granularity::Blocks),
    (Activations::Dynamic, Granularity::PerTensor),
    (Activations::Float, Granularity::PerChannel),
];

fn assert_every_form_equals_eager<M: Forward<Output = Var> + Module + Clone>(
    model: &M,
    sample: &[usize],
) {
    assert_equals_eager(model, sample, Some(1e-5));
    for (activations, granularity) in IN_INT8 {
        let mut int8 = model.clone();
        quantize(&mut int8, sample, activations, granularity);
        // Weight-only layers sum floats, and so does a batch norm that folds into none of them.
        assert_equals_eager(&int8, sample, None);
    }
}

#[test]
fn perceptron() {
    assert_every_form_equals_eager(&mlp(&[30, 64, 17, 10]), &[30]);
}

#[test]
fn convolutions() {
    assert_every_form_equals_eager(&cnn(), &[1, 28, 28]);
}

#[test]
fn residual_network() {
    assert_every_form_equals_eager(&residual(), &[3, 9, 9]);
}

#[test]
fn shortcuts_between_zero_channels() {
    for (blocks, size) in [(1, 9), (2, 8)] {
        let (mean, std) = (vec![0.1, 0.2, 0.3], vec![0.5, 1.0, 2.0]);
        let config =
            ResnetConfig { input: [3, size, size], mean, std, width: 5, blocks, outputs: 4 };
        let mut model = Resnet::new(&config, &mut Init::seed(4)).unwrap();
        for block in model.layer2.iter_mut().chain(&mut model.layer3) {
            block.bn2 = used_norm(block.bn2.bias.shape()[0], &mut Init::seed(5));
        }
        assert_every_form_equals_eager(&model, &[3, size, size]);
    }
}

/// A sum of convolutions of which one gives images of a single pixel, stretched to those of the other.
#[derive(Module, Clone)]
struct Stretched {
    wide: Conv2d,
    narrow: Conv2d,
    last: Option<Conv2d>,
    #[module(config)]
    narrow_first: bool,
}

impl Forward for Stretched {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let (wide, narrow) = (self.wide.forward(x, ctx)?, self.narrow.forward(x, ctx)?);
        let sum = if self.narrow_first { narrow.add(&wide, ctx)? } else { wide.add(&narrow, ctx)? };
        let sum = sum.relu(ctx)?;
        match &self.last {
            Some(last) => last.forward(&sum, ctx),
            None => Ok(sum),
        }
    }
}

#[test]
fn sums_of_stretched_images() {
    let mut init = Init::seed(6);
    let mut conv = |from, to, kernel| {
        Conv2d::new(from, to, [kernel; 2], ConvGeometry::default(), &mut init).unwrap()
    };
    let (wide, narrow, last) = (conv(3, 6, 1), conv(3, 6, 5), conv(6, 4, 2));
    for narrow_first in [false, true] {
        for last in [None, Some(last.clone())] {
            let (wide, narrow) = (wide.clone(), narrow.clone());
            let model = Stretched { wide, narrow, last, narrow_first };
            assert_every_form_equals_eager(&model, &[3, 5, 5]);
        }
    }
}

/// Two convolutions whose outputs, one clipped, are joined and resized between depthwise ones, as in networks for
/// phones.
#[derive(Module, Clone)]
struct Joined {
    depthwise: Conv2d,
    clipped: Conv2d,
    positive: Conv2d,
    last: Conv2d,
    #[module(config)]
    highest: f32,
}

impl Joined {
    fn new(highest: f32) -> Joined {
        let mut init = Init::seed(7);
        let mut conv = |from, to, kernel, geometry| {
            Conv2d::new(from, to, [kernel; 2], geometry, &mut init).unwrap()
        };
        let same = ConvGeometry::default().with_padding(1);
        let depthwise = conv(16, 16, 3, same.with_groups(16));
        let (clipped, positive) = (conv(16, 5, 1, ConvGeometry::default()), conv(16, 3, 3, same));
        Joined { depthwise, clipped, positive, last: conv(8, 4, 3, same), highest }
    }
}

impl Forward for Joined {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.depthwise.forward(x, ctx)?.clamp(0.0, self.highest, ctx)?;
        let clipped = self.clipped.forward(&x, ctx)?.clamp(0.0, self.highest, ctx)?;
        let positive = self.positive.forward(&x, ctx)?.relu(ctx)?;
        let both = Var::cat(&[&clipped, &positive], 1, ctx)?;
        let scales = Var::from(Tensor::from_vec(vec![1.0f32, 1.0, 2.0, 2.0], [4])?);
        let inputs = [Some(&both), None, Some(&scales), None];
        let wide = ctx.apply_many(Resize::nearest(), &inputs)?.remove(0);
        self.last.forward(&wide, ctx)
    }
}

#[test]
fn clipped_joined_and_resized_images() {
    for highest in [0.4, 6.0] {
        assert_every_form_equals_eager(&Joined::new(highest), &[16, 6, 7]);
    }
}

#[test]
fn levels_pass_through_what_joins_and_resizes_them() {
    let mut model = Joined::new(6.0);
    quantize(&mut model, &[16, 6, 7], Activations::Static, Granularity::PerChannel);
    let plan = Plan::compile(&model, &randn(&[2, 16, 6, 7], 4)).unwrap();
    let steps: Vec<&str> = plan.steps().iter().map(|step| step.op).collect();
    let want = ["quantize", "conv2d", "conv2d", "conv2d + relu", "cat", "resize", "conv2d"];
    assert_eq!(steps, want);
}

#[test]
fn residual_sums_give_the_same_int8_bits_on_every_instruction_set() {
    let mut model = residual();
    quantize(&mut model, &[3, 9, 9], Activations::Static, Granularity::PerChannel);
    let x = randn(&[33, 3, 9, 9], 4);
    for isa in Isa::available() {
        let want = model.forward(&(&x).into(), &mut Ctx::eval().on(isa)).unwrap();
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut plan = Plan::compile(&model, &x).unwrap().on(isa);
            let got = pool.install(|| plan.run(&x)).unwrap();
            assert_eq!(bits(&got), bits(want.value()), "{} on {threads} threads", isa.name());
        }
    }
}

#[test]
fn every_instruction_set_and_thread_count_gives_the_same_int8_bits() {
    let mut model = cnn();
    quantize(&mut model, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
    let x = randn(&[33, 1, 28, 28], 4);
    let want = bits(&eager(&model, &x));
    for isa in Isa::available() {
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut plan = Plan::compile(&model, &x).unwrap().on(isa);
            let got = pool.install(|| plan.run(&x)).unwrap();
            assert_eq!(bits(&got), want, "{} on {threads} threads", isa.name());
        }
    }
}

#[test]
fn int8_transformers_give_the_eager_bits_on_every_instruction_set() {
    for architecture in transformers() {
        for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
            for wide in [false, true] {
                let model = quantized_transformer(&architecture, activations, wide);
                for isa in Isa::available() {
                    let mut plan = Plan::compile(&*model, &ids(1, 16)).unwrap().on(isa);
                    for ids in [ids(1, 16), ids(3, 5), ids(1, 16), ids(9, 31)] {
                        let want = model.forward(&(&ids).into(), &mut Ctx::eval().on(isa)).unwrap();
                        let got = plan.run(&ids).unwrap();
                        let what = format!("{activations:?}, wide {wide}, of {architecture:?}");
                        assert_eq!(bits(&got), bits(want.value()), "{what} on {}", isa.name());
                    }
                }
            }
        }
    }
}

#[test]
fn sixteen_bit_rows_feed_layers_with_a_bias_a_relu_or_neither() {
    let mut model = mlp(&[30, 64, 17, 10]);
    let config = QuantConfig::new(Activations::Dynamic16).knowingly();
    quantize_model(&mut model, [Ok(Var::from(randn(&[4, 30], 7)))], &config).unwrap();
    assert_equals_eager(&model, &[30], None);
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_a_float_model() {
    let x = randn(&[33, 1, 28, 28], 4);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut plan = Plan::compile(&cnn(), &x).unwrap();
        bits(&pool.install(|| plan.run(&x)).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_result_that_is_the_input_in_another_shape_is_copied() {
    let x = randn(&[2, 3, 2, 2], 1);
    let mut plan = Plan::compile(&Sequential::new().push(Flatten), &x).unwrap();
    let y = plan.run(&x).unwrap();
    assert_eq!(y.shape().dims(), [2, 12]);
    assert_eq!(bits(&y), bits(&x));
}

/// One layer of a random chain, by a few numbers.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Conv { out: usize, kernel: usize, stride: usize, padding: usize, depthwise: bool },
    Norm,
    Relu,
    MaxPool { stride: usize, padding: usize },
    AvgPool,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => (1usize..20, 1usize..4, 1usize..3, 0usize..2, any::<bool>()).prop_map(
            |(out, kernel, stride, padding, depthwise)| Piece::Conv {
                out, kernel, stride, padding, depthwise,
            }
        ),
        1 => Just(Piece::Norm),
        2 => Just(Piece::Relu),
        2 => (1usize..3, 0usize..2).prop_map(|(stride, padding)| Piece::MaxPool { stride, padding }),
        1 => Just(Piece::AvgPool),
    ]
}

/// A batch norm whose statistics are not those of a new one.
fn used_norm(channels: usize, init: &mut Init) -> BatchNorm2d {
    let mut norm = BatchNorm2d::new(channels, init).unwrap();
    for (i, (name, param)) in norm.named_params_mut().into_iter().enumerate() {
        let low = if name == "running_var" || name == "weight" { 0.5 } else { -0.5 };
        let mut rng = tinytorch::Rng::seed(i as u64);
        *param.value_mut().unwrap() = Tensor::rand([channels], low, low + 1.0, &mut rng).unwrap();
    }
    norm
}

/// The chain on 3 x 10 x 10 images, ended by two linear layers; pieces that do not fit are left out.
fn chain(pieces: &[Piece]) -> Sequential {
    let mut init = Init::seed(9);
    let mut model = Sequential::new();
    let (mut channels, mut size) = (3, 10);
    for &piece in pieces {
        match piece {
            Piece::Conv { out, kernel, stride, padding, depthwise } => {
                if kernel > size + 2 * padding {
                    continue;
                }
                let groups = if depthwise { channels } else { 1 };
                let out = if depthwise { channels } else { out };
                let geometry = ConvGeometry::default()
                    .with_stride(stride)
                    .with_padding(padding)
                    .with_groups(groups);
                let conv = Conv2d::new(channels, out, [kernel; 2], geometry, &mut init).unwrap();
                model = model.push(conv);
                (channels, size) = (out, (size + 2 * padding - kernel) / stride + 1);
            }
            Piece::Norm => model = model.push(used_norm(channels, &mut init)),
            Piece::Relu => model = model.push(Relu),
            Piece::MaxPool { .. } | Piece::AvgPool if size < 2 => {}
            Piece::MaxPool { stride, padding } => {
                let geometry = PoolGeometry::square(2).with_stride(stride).with_padding(padding);
                model = model.push(MaxPool2d::new(geometry));
                size = (size + 2 * padding - 2) / stride + 1;
            }
            Piece::AvgPool => {
                model = model.push(AvgPool2d::new(PoolGeometry::square(2)));
                size = (size - 2) / 2 + 1;
            }
        }
    }
    model
        .push(Flatten)
        .push(Linear::new(channels * size * size, 9, &mut init).unwrap())
        .push(Relu)
        .push(Linear::new(9, 4, &mut init).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_chains(pieces in proptest::collection::vec(piece(), 0..7), which in 0usize..4, n in 1usize..5) {
        let model = chain(&pieces);
        let x = randn(&[n, 3, 10, 10], 8);
        let mut plan = Plan::compile(&model, &randn(&[1, 3, 10, 10], 1)).unwrap();
        let want = eager(&model, &x);
        let largest = want.to_vec::<f32>().unwrap().iter().fold(0f32, |m, v| m.max(v.abs()));
        prop_assert!(plan.run(&x).unwrap().allclose(&want, 1e-5, 1e-5 * largest).unwrap());

        let mut int8 = model;
        let (activations, granularity) = IN_INT8[which];
        quantize(&mut int8, &[3, 10, 10], activations, granularity);
        let mut plan = Plan::compile(&int8, &randn(&[1, 3, 10, 10], 1)).unwrap();
        prop_assert_eq!(bits(&plan.run(&x).unwrap()), bits(&eager(&int8, &x)));
    }
}
