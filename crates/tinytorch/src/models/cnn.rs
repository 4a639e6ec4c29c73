//! A convolutional network.

use super::error::Check;
use super::{Mlp, MlpConfig, Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::graph::{ConvGeometry, PoolGeometry};
use crate::nn::{BatchNorm2d, Chain, Conv2d, Forward, Init, Link, MaxPool2d, Module};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// The sizes of a [`Cnn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CnnConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// The convolutions.
    pub blocks: Vec<CnnBlock>,
    /// Width of each hidden linear layer.
    pub hidden: Vec<usize>,
    /// Classes.
    pub outputs: usize,
}

/// The sizes of a [`ConvBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CnnBlock {
    /// Channels of the output.
    pub channels: usize,
    /// Side of the pooling windows, by which height and width are divided; 1 for no pooling.
    pub pool: usize,
}

/// A convolutional network: blocks of convolutions, and a perceptron over what they find.
///
/// The input is `[batch, channels, height, width]`, the output `[batch, outputs]`.
#[derive(Module, Clone, Debug)]
pub struct Cnn {
    #[module(config)]
    config: CnnConfig,
    /// The convolutions, in order.
    pub blocks: Vec<ConvBlock>,
    /// The linear layers.
    pub head: Mlp,
}

/// `pool(relu(norm(conv(x))))` with a 3x3 convolution that keeps height and width.
///
/// The convolution has a bias although the norm subtracts it again: when the norm is folded into the
/// convolution, its shift goes there and takes no memory of its own.
#[derive(Module, Clone, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub conv: Conv2d,
    /// The batch norm.
    pub norm: BatchNorm2d,
    /// The pooling, if there is one.
    pub pool: Option<MaxPool2d>,
}

impl ConvBlock {
    /// Blocks one after the other on images of `[channels, height, width]`, and what size they leave.
    pub(super) fn stack(
        check: &Check,
        input: [usize; 3],
        sizes: &[CnnBlock],
        init: &mut Init,
    ) -> Result<(Vec<ConvBlock>, [usize; 3])> {
        check.layers("the number of blocks", sizes.len())?;
        input.iter().try_for_each(|&size| check.size("a size of the input", size))?;
        let [mut channels, mut height, mut width] = input;
        let mut blocks = Vec::with_capacity(sizes.len());
        for block in sizes {
            check.size("the channels of a block", block.channels)?;
            check.at_most("the pooling of a block", block.pool, height.min(width))?;
            blocks.push(ConvBlock::new(channels, *block, init)?);
            (channels, height, width) = (block.channels, height / block.pool, width / block.pool);
        }
        Ok((blocks, [channels, height, width]))
    }

    fn new(channels: usize, block: CnnBlock, init: &mut Init) -> Result<ConvBlock> {
        let same_size = ConvGeometry::default().with_padding(1);
        Ok(ConvBlock {
            conv: Conv2d::new(channels, block.channels, [3, 3], same_size, init)?,
            norm: BatchNorm2d::new(block.channels, init)?,
            pool: (block.pool > 1).then(|| MaxPool2d::new(PoolGeometry::square(block.pool))),
        })
    }
}

impl Cnn {
    /// A network of these sizes.
    ///
    /// # Errors
    /// [`ModelError::Hyperparameter`](super::ModelError::Hyperparameter) for sizes of 0, sizes beyond
    /// 2^24, and pooling windows larger than what they pool.
    pub fn new(config: &CnnConfig, init: &mut Init) -> Result<Cnn> {
        let check = Check("cnn");
        let (blocks, size) = ConvBlock::stack(&check, config.input, &config.blocks, init)?;
        let inputs = Shape::new(&size)?.len();
        let head = MlpConfig { inputs, hidden: config.hidden.clone(), outputs: config.outputs };
        Ok(Cnn { config: config.clone(), blocks, head: Mlp::new(&head, init)? })
    }
}

impl Forward for ConvBlock {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.conv.forward(input, ctx)?;
        let x = self.norm.forward(&x, ctx)?.relu(ctx)?;
        match &self.pool {
            Some(pool) => pool.forward(&x, ctx),
            None => Ok(x),
        }
    }
}

impl Forward for Cnn {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut x = input.clone();
        for block in &self.blocks {
            x = block.forward(&x, ctx)?;
        }
        self.head.forward(&x, ctx)
    }
}

impl Chain for Cnn {
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str> {
        let blocks = self.blocks.iter_mut();
        let mut links: Vec<Link<'_>> = blocks
            .flat_map(|block| [Link::Conv2d(&mut block.conv), Link::BatchNorm2d(&mut block.norm)])
            .collect();
        links.extend(self.head.links()?);
        Ok(links)
    }

    fn resized(&mut self) {
        for (block, layer) in self.config.blocks.iter_mut().zip(&self.blocks) {
            block.channels = layer.conv.weight.shape()[0];
        }
        self.head.resized();
        self.config.hidden.clone_from(&self.head.config().hidden);
    }
}

impl Rebuild for Cnn {
    type Input = Var;
    type Config = CnnConfig;
    const NAME: &'static str = "cnn";

    fn config(&self) -> CnnConfig {
        self.config.clone()
    }

    fn build(config: &CnnConfig, init: &mut Init) -> Result<Cnn> {
        Cnn::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&self.config.input)?)])
    }

    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        Some(self)
    }
}
