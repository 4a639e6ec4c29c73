//! The networks that are compared: as models of tinytorch, and as nodes for the others. Weights are random
//! from one seed, so that every process has the same.

use crate::nodes::{INPUT, Node, Nodes, Op};
use anyhow::{Result, bail};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::models::{Resnet, ResnetConfig};
use tinytorch::nn::{
    AttentionConfig, Conv2d, FeedForward, Flatten, Forward, Init, Layer, LayerNorm, Linear,
    MaxPool2d, Module, MultiHeadAttention, Relu, Sequential, TransformerBlock,
};

/// The seed of all weights.
pub(crate) const SEED: u64 = 1;

/// A network in both forms.
pub(crate) struct Network {
    pub(crate) model: Box<dyn Layer>,
    pub(crate) nodes: Vec<Node>,
    /// The shape of a sample.
    pub(crate) sample: Vec<usize>,
}

/// The network of a name.
pub(crate) fn network(name: &str) -> Result<Network> {
    match name {
        "mlp" => mlp(),
        "cnn" => cnn(),
        "resnet-8" => resnet(1),
        "resnet-20" => resnet(3),
        "encoder" => encoder(),
        _ => bail!("there is no network `{name}`"),
    }
}

/// 784-512-256-10 with ReLU between.
fn mlp() -> Result<Network> {
    let mut init = Init::seed(SEED);
    let model = Sequential::new()
        .push(Linear::new(784, 512, &mut init)?)
        .push(Relu)
        .push(Linear::new(512, 256, &mut init)?)
        .push(Relu)
        .push(Linear::new(256, 10, &mut init)?);
    let mut nodes = Nodes::default();
    let mut x = INPUT.to_string();
    for layer in [0, 2, 4] {
        if layer > 0 {
            x = nodes.on(&x, Op::Relu);
        }
        x = nodes.on(&x, Op::Linear { name: layer.to_string(), flat: true });
    }
    Ok(Network { model: Box::new(model), nodes: nodes.finish(), sample: vec![784] })
}

/// conv-pool-conv-pool-linear on 28 x 28 images.
fn cnn() -> Result<Network> {
    let mut init = Init::seed(SEED);
    let same = ConvGeometry::default().with_padding(1);
    let pool = PoolGeometry::square(2);
    let model = Sequential::new()
        .push(Conv2d::new(1, 16, [3, 3], same, &mut init)?)
        .push(Relu)
        .push(MaxPool2d::new(pool))
        .push(Conv2d::new(16, 32, [3, 3], same, &mut init)?)
        .push(Relu)
        .push(MaxPool2d::new(pool))
        .push(Flatten)
        .push(Linear::new(32 * 49, 10, &mut init)?);
    let mut nodes = Nodes::default();
    let mut x = INPUT.to_string();
    for name in ["0", "3"] {
        x = nodes.on(&x, Op::Conv { name: name.into(), bias: true, stride: 1, padding: 1 });
        x = nodes.on(&x, Op::Relu);
        x = nodes.on(&x, Op::MaxPool { size: 2 });
    }
    x = nodes.on(&x, Op::Flatten);
    nodes.on(&x, Op::Linear { name: "7".into(), flat: true });
    Ok(Network { model: Box::new(model), nodes: nodes.finish(), sample: vec![1, 28, 28] })
}

/// Three stages of `blocks` residual blocks on 32 x 32 images of three channels.
fn resnet(blocks: usize) -> Result<Network> {
    const WIDTH: usize = 16;
    let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
    let config = ResnetConfig {
        input: [3, 32, 32],
        mean: mean.clone(),
        std: std.clone(),
        width: WIDTH,
        blocks,
        outputs: 10,
    };
    let model = Resnet::new(&config, &mut Init::seed(SEED))?;
    let mut nodes = Nodes::default();
    let x = nodes.on(INPUT, Op::Normalize { mean, std });
    let x = normed(&mut nodes, &x, "conv1", "bn1", 1);
    let mut x = nodes.on(&x, Op::Relu);
    for stage in 0..3 {
        for block in 0..blocks {
            let widens = stage > 0 && block == 0;
            let prefix = format!("layer{}.{block}.", stage + 1);
            let name = |part: &str| format!("{prefix}{part}");
            let stride = if widens { 2 } else { 1 };
            let y = normed(&mut nodes, &x, &name("conv1"), &name("bn1"), stride);
            let y = nodes.on(&y, Op::Relu);
            let y = normed(&mut nodes, &y, &name("conv2"), &name("bn2"), 1);
            if widens {
                x = nodes.on(&x, Op::PadShortcut { stride, added: WIDTH << (stage - 1) });
            }
            let sum = nodes.add(&[&y, &x], Op::Add);
            x = nodes.on(&sum, Op::Relu);
        }
    }
    let x = nodes.on(&x, Op::MeanOfChannels);
    nodes.on(&x, Op::Linear { name: "linear".into(), flat: true });
    Ok(Network { model: Box::new(model), nodes: nodes.finish(), sample: vec![3, 32, 32] })
}

/// A convolution with its batch norm.
fn normed(nodes: &mut Nodes, x: &str, conv: &str, norm: &str, stride: usize) -> String {
    let conv = Op::Conv { name: conv.into(), bias: false, stride, padding: 1 };
    let x = nodes.on(x, conv);
    nodes.on(&x, Op::BatchNorm { name: norm.into(), eps: 1e-5 })
}

/// The blocks of an encoder as BERT, without its tables.
#[derive(Module, Clone, Debug)]
struct Encoder {
    blocks: Vec<TransformerBlock>,
}

impl Forward for Encoder {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> tinytorch::Result<Var> {
        self.blocks.iter().try_fold(input.clone(), |x, block| block.forward(&x, ctx))
    }
}

/// The shape of MiniLM-L6 on 128 tokens.
fn encoder() -> Result<Network> {
    const WIDTH: usize = 384;
    const HEADS: usize = 12;
    let init = &mut Init::seed(SEED);
    let mut blocks = Vec::new();
    let mut nodes = Nodes::default();
    let mut x = INPUT.to_string();
    for block in 0..6 {
        blocks.push(TransformerBlock::norm_last(
            MultiHeadAttention::new(AttentionConfig::new(WIDTH, HEADS), init)?,
            FeedForward::new(WIDTH, 4 * WIDTH, init)?,
            [LayerNorm::new(WIDTH, init)?, LayerNorm::new(WIDTH, init)?],
        ));
        let name = |part: &str| format!("blocks.{block}.{part}");
        let [q, k, v] =
            ["q", "k", "v"].map(|part| nodes.rows(&x, name(&format!("attention.{part}_proj"))));
        let mixed = nodes.add(&[&q, &k, &v], Op::Attention { heads: HEADS, width: WIDTH });
        let y = nodes.rows(&mixed, name("attention.out_proj"));
        let sum = nodes.add(&[&x, &y], Op::Add);
        x = nodes.on(&sum, Op::LayerNorm { name: name("norm1"), eps: 1e-5 });
        let y = nodes.rows(&x, name("mlp.linear1"));
        let y = nodes.on(&y, Op::Gelu);
        let y = nodes.rows(&y, name("mlp.linear2"));
        let sum = nodes.add(&[&x, &y], Op::Add);
        x = nodes.on(&sum, Op::LayerNorm { name: name("norm2"), eps: 1e-5 });
    }
    let model = Box::new(Encoder { blocks });
    Ok(Network { model, nodes: nodes.finish(), sample: vec![128, WIDTH] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The parameters that a node names.
    fn parameters(op: &Op) -> Vec<String> {
        let (name, parts): (&str, &[&str]) = match op {
            Op::Linear { name, .. } | Op::LayerNorm { name, .. } => (name, &["weight", "bias"]),
            Op::Conv { name, bias: true, .. } => (name, &["weight", "bias"]),
            Op::Conv { name, bias: false, .. } => (name, &["weight"]),
            Op::BatchNorm { name, .. } => {
                (name, &["weight", "bias", "running_mean", "running_var"])
            }
            _ => ("", &[]),
        };
        parts.iter().map(|part| format!("{name}.{part}")).collect()
    }

    #[test]
    fn the_nodes_use_every_parameter_of_the_model_once() {
        for name in ["mlp", "cnn", "resnet-8", "resnet-20", "encoder"] {
            let network = network(name).unwrap();
            let used: Vec<String> =
                network.nodes.iter().flat_map(|node| parameters(&node.op)).collect();
            let names: BTreeSet<String> =
                network.model.named_params().into_iter().map(|(name, _)| name).collect();
            assert_eq!(used.len(), names.len(), "{name}");
            assert_eq!(used.into_iter().collect::<BTreeSet<_>>(), names, "{name}");
        }
        assert!(network("vgg").is_err());
    }

    #[test]
    fn every_value_is_made_before_it_is_used() {
        for name in ["mlp", "cnn", "resnet-20", "encoder"] {
            let mut known = BTreeSet::from([INPUT.to_string()]);
            for node in network(name).unwrap().nodes {
                assert!(node.inputs.iter().all(|input| known.contains(input)), "{name}: {node:?}");
                assert!(known.insert(node.output));
            }
        }
    }
}
