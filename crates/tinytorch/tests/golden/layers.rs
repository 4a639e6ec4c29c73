//! What is digested of layers, each alone or with what belongs to it: what no reference model has, above all.

use super::quantizing::{quantized, way};
use super::support::{deployed, eager, gradients, random_labels, weights};
use super::values::Values;
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::nn::{
    AttentionConfig, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, FeedForward, Flatten,
    Gelu, GeluTanh, GlobalAvgPool2d, Init, LayerNorm, Linear, MaxPool2d, MultiHeadAttention,
    Normalize, PadShortcut, PositionalEncoding, Relu, RmsNorm, Sequential, Sigmoid, Silu,
    SinusoidalEncoding, SwiGlu, Tanh, TransformerBlock,
};
use tinytorch::ops::{Rope, RopePairs};
use tinytorch::{Rng, Tensor};

fn init() -> Init {
    Init::seed(3)
}

fn conv(channels: [usize; 2], kernel: [usize; 2], geometry: ConvGeometry) -> Conv2d {
    Conv2d::new(channels[0], channels[1], kernel, geometry, &mut init()).unwrap()
}

fn bare(channels: [usize; 2], kernel: usize, geometry: ConvGeometry) -> Conv2d {
    Conv2d::without_bias(channels[0], channels[1], [kernel; 2], geometry, &mut init()).unwrap()
}

fn norm(channels: usize) -> BatchNorm2d {
    BatchNorm2d::new(channels, &mut init()).unwrap()
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    Linear::new(inputs, outputs, &mut init()).unwrap()
}

/// Networks for images `[batch, 6, 10, 11]`.
fn on_images() -> Vec<(&'static str, Sequential)> {
    let plain = ConvGeometry::default();
    let same = plain.with_padding(1);
    let pool = PoolGeometry::square(3).with_stride(2).with_padding(1);
    let net = Sequential::new;
    vec![
        ("conv-3x3", net().push(conv([6, 9], [3, 3], same))),
        ("conv-1x1", net().push(conv([6, 20], [1, 1], plain))),
        ("conv-5x2-stride", net().push(conv([6, 7], [5, 2], plain.with_stride(2).with_padding(2)))),
        ("conv-groups", net().push(conv([6, 12], [3, 3], same.with_groups(3)))),
        ("conv-depthwise", net().push(conv([6, 6], [3, 3], same.with_groups(6)))),
        ("conv-bare-norm-relu", net().push(bare([6, 8], 3, same)).push(norm(8)).push(Relu)),
        ("norm-conv", net().push(norm(6)).push(conv([6, 8], [3, 3], same))),
        (
            "conv-conv-pool-linear",
            net()
                .push(conv([6, 16], [3, 3], same))
                .push(Relu)
                .push(bare([16, 16], 3, same.with_stride(2)))
                .push(norm(16))
                .push(Relu)
                .push(MaxPool2d::new(pool))
                .push(Flatten)
                .push(linear(16 * 3 * 3, 12))
                .push(Relu)
                .push(linear(12, 5)),
        ),
        (
            "avg-pool",
            net().push(conv([6, 8], [3, 3], same)).push(AvgPool2d::new(pool)).push(conv(
                [8, 5],
                [1, 1],
                plain,
            )),
        ),
        (
            "global-pool",
            net()
                .push(conv([6, 8], [3, 3], same))
                .push(GlobalAvgPool2d)
                .push(Flatten)
                .push(linear(8, 4)),
        ),
        (
            "pad-shortcut",
            net().push(conv([6, 8], [3, 3], same)).push(PadShortcut::new(2, 12)).push(conv(
                [12, 4],
                [1, 1],
                plain,
            )),
        ),
        (
            "normalize",
            net().push(Normalize::new(&[0.4; 6], &[0.3; 6])).push(conv([6, 4], [3, 3], same)),
        ),
    ]
}

/// Networks for rows `[batch, 7, 24]`.
fn on_rows() -> Vec<(&'static str, Sequential)> {
    let net = Sequential::new;
    let attention = |change: fn(&mut AttentionConfig)| {
        let mut config = AttentionConfig::new(24, 4);
        change(&mut config);
        MultiHeadAttention::new(config, &mut init()).unwrap()
    };
    let feed = || FeedForward::new(24, 40, &mut init()).unwrap();
    let norms = || [0, 1].map(|_| LayerNorm::new(24, &mut init()).unwrap());
    vec![
        ("linear-relu-linear", net().push(linear(24, 33)).push(Relu).push(linear(33, 9))),
        ("linear-gelu", net().push(linear(24, 33)).push(Gelu).push(linear(33, 9))),
        ("linear-gelu-tanh", net().push(linear(24, 33)).push(GeluTanh).push(linear(33, 9))),
        ("linear-silu", net().push(linear(24, 33)).push(Silu).push(linear(33, 9))),
        ("linear-tanh", net().push(linear(24, 33)).push(Tanh).push(linear(33, 9))),
        ("linear-sigmoid", net().push(linear(24, 33)).push(Sigmoid).push(linear(33, 9))),
        ("layer-norm", net().push(LayerNorm::new(24, &mut init()).unwrap()).push(linear(24, 9))),
        ("rms-norm", net().push(RmsNorm::new(24, &mut init()).unwrap()).push(linear(24, 9))),
        ("swiglu", net().push(SwiGlu::new(24, 40, &mut init()).unwrap())),
        (
            "dropout",
            net().push(linear(24, 33)).push(Dropout::new(0.2).unwrap()).push(linear(33, 9)),
        ),
        ("attention", net().push(attention(|_| ()))),
        ("attention-causal", net().push(attention(|config| config.causal = true))),
        (
            "attention-grouped",
            net().push(attention(|config| {
                config.num_kv_heads = 2;
                config.bias = false;
                config.causal = true;
                config.rope = Some(Rope::new(50.0, RopePairs::Interleaved));
            })),
        ),
        ("attention-dropout", net().push(attention(|config| config.dropout = 0.2))),
        (
            "block-norm-first",
            net().push(TransformerBlock::norm_first(attention(|_| ()), feed(), norms())),
        ),
        (
            "block-norm-last",
            net().push(TransformerBlock::norm_last(attention(|_| ()), feed(), norms())),
        ),
    ]
}

/// Networks for ids `[batch, 7]` below 30.
fn on_ids() -> Vec<(&'static str, Sequential)> {
    let table = || Embedding::new(30, 24, &mut init()).unwrap();
    let positions = PositionalEncoding::new(9, 24, &mut init()).unwrap();
    let waves = SinusoidalEncoding::new(9, 24).unwrap();
    vec![
        ("embedding", Sequential::new().push(table())),
        (
            "embedding-positions",
            Sequential::new().push(table()).push(positions).push(linear(24, 9)),
        ),
        ("embedding-waves", Sequential::new().push(table()).push(waves).push(linear(24, 9))),
    ]
}

pub(crate) fn layers(values: &mut Values) {
    let random = |shape: [usize; 4], rank: usize, seed| {
        Tensor::randn(&shape[..rank], 0.7, &mut Rng::seed(seed)).unwrap()
    };
    for (name, model) in on_images() {
        let input = |n, seed| random([n, 6, 10, 11], 4, seed);
        one(values, name, &model, &input(8, 1), [input(3, 2), input(40, 3)]);
    }
    for (name, model) in on_rows() {
        let input = |n, seed| random([n, 7, 24, 0], 3, seed);
        one(values, name, &model, &input(8, 1), [input(3, 2), input(90, 3)]);
    }
    for (name, model) in on_ids() {
        let input = |n: usize, seed| {
            let mut rng = Rng::seed(seed);
            let ids = (0..n * 7).map(|_| rng.below(30) as i64).collect();
            Tensor::from_vec(ids, [n, 7]).unwrap()
        };
        one(values, name, &model, &input(8, 1), [input(3, 2), input(90, 3)]);
    }
}

fn one(
    values: &mut Values,
    name: &str,
    model: &Sequential,
    training: &Tensor,
    judged: [Tensor; 2],
) {
    let labels = random_labels(&eager(model, training), 4);
    values.tensors(&format!("{name}/gradients"), &gradients(model, training, &labels));
    let mut outputs = |way: &str, model: &Sequential| {
        let (planned, steps) = deployed(model, &judged);
        for ((input, planned), which) in judged.iter().zip(planned).zip(["odd", "even"]) {
            values.tensor(&format!("{name}/{way}/eager/{which}"), &eager(model, input));
            values.tensor(&format!("{name}/{way}/plan/{which}"), &planned);
        }
        values.tensors(&format!("{name}/{way}/weights"), &weights(model));
        if ["float", "static"].contains(&way) {
            values.lines(&format!("{name}/{way}/steps"), steps);
        }
    };
    outputs("float", model);
    for settings in ["static", "dynamic", "wide", "blocks", "weight-only"] {
        let (int8, _) = quantized(model, std::slice::from_ref(training), &way(settings)).unwrap();
        outputs(settings, &int8);
    }
}
