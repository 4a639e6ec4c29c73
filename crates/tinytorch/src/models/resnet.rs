//! A residual network.

use super::error::Check;
use super::{Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::graph::ConvGeometry;
use crate::nn::{
    BatchNorm2d, Conv2d, Flatten, Forward, GlobalAvgPool2d, Init, Linear, Module, Normalize,
    PadShortcut,
};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// The sizes of a [`Resnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// Mean of each channel of the training images, whose pixels lie between 0 and 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel of the training images.
    pub std: Vec<f32>,
    /// Channels of the first stage; each stage has twice as many as the one before it.
    pub width: usize,
    /// Residual blocks in each of the three stages.
    pub blocks: usize,
    /// Classes.
    pub outputs: usize,
}

/// A residual network for small images (He et al., 2015, section 4.2): a convolution, three stages of
/// residual blocks, the mean of each channel, a linear layer. With `n` blocks in a stage it has `6 n + 2`
/// layers of weights.
///
/// The input is `[batch, channels, height, width]` with pixels from 0 to 1, which the model itself
/// normalizes; the output is `[batch, outputs]`.
#[derive(Module, Clone, Debug)]
pub struct Resnet {
    #[module(config)]
    config: ResnetConfig,
    /// Brings the pixels to the mean and deviation that the weights were trained with.
    pub normalize: Normalize,
    /// The first convolution.
    pub conv1: Conv2d,
    /// Its batch norm.
    pub bn1: BatchNorm2d,
    /// The blocks at full height and width.
    pub layer1: Vec<ResidualBlock>,
    /// The blocks at half of them.
    pub layer2: Vec<ResidualBlock>,
    /// The blocks at a quarter.
    pub layer3: Vec<ResidualBlock>,
    /// From the mean of each channel to the classes.
    pub linear: Linear,
}

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))` with 3x3 convolutions.
#[derive(Module, Clone, Debug)]
pub struct ResidualBlock {
    /// The convolution that strides.
    pub conv1: Conv2d,
    /// Its batch norm.
    pub bn1: BatchNorm2d,
    /// The convolution that keeps height and width.
    pub conv2: Conv2d,
    /// Its batch norm.
    pub bn2: BatchNorm2d,
    /// Makes the input fit the output; without it they fit as they are.
    pub shortcut: Option<PadShortcut>,
}

/// A 3x3 convolution that a batch norm follows, so that a bias would be lost.
fn conv3x3(from: usize, to: usize, stride: usize, init: &mut Init) -> Result<Conv2d> {
    let geometry = ConvGeometry::default().with_padding(1).with_stride(stride);
    Conv2d::without_bias(from, to, [3, 3], geometry, init)
}

impl ResidualBlock {
    fn new(from: usize, to: usize, stride: usize, init: &mut Init) -> Result<ResidualBlock> {
        Ok(ResidualBlock {
            conv1: conv3x3(from, to, stride, init)?,
            bn1: BatchNorm2d::new(to, init)?,
            conv2: conv3x3(to, to, 1, init)?,
            bn2: BatchNorm2d::new(to, init)?,
            shortcut: (stride != 1 || from != to).then(|| PadShortcut::new(stride, to)),
        })
    }
}

impl Resnet {
    /// A network of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes of 0 or beyond 2^24, and for a mean and a deviation
    /// that are not one number for each channel, finite and the deviation positive.
    pub fn new(config: &ResnetConfig, init: &mut Init) -> Result<Resnet> {
        let ResnetConfig { input, mean, std, width, blocks, outputs } = config;
        let check = Check("resnet");
        input.iter().try_for_each(|&size| check.size("a size of the input", size))?;
        check.at_most("the width", *width, 1 << 22)?;
        check.layers("the blocks of a stage", *blocks)?;
        check.size("the number of classes", *outputs)?;
        check.normalization(input[0], mean, std)?;
        let mut from = *width;
        let mut stage = |to: usize, first_stride: usize, init: &mut Init| {
            let strides = (0..*blocks).map(|i| if i == 0 { first_stride } else { 1 });
            let blocks = strides.map(|stride| {
                let block = ResidualBlock::new(from, to, stride, init);
                from = to;
                block
            });
            blocks.collect::<Result<Vec<_>>>()
        };
        Ok(Resnet {
            config: config.clone(),
            normalize: Normalize::new(mean, std),
            conv1: conv3x3(input[0], *width, 1, init)?,
            bn1: BatchNorm2d::new(*width, init)?,
            layer1: stage(*width, 1, init)?,
            layer2: stage(2 * width, 2, init)?,
            layer3: stage(4 * width, 2, init)?,
            linear: Linear::new(4 * width, *outputs, init)?,
        })
    }
}

impl Forward for ResidualBlock {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.conv1.forward(input, ctx)?;
        let x = self.bn1.forward(&x, ctx)?.relu(ctx)?;
        let x = self.conv2.forward(&x, ctx)?;
        let x = self.bn2.forward(&x, ctx)?;
        let sum = match &self.shortcut {
            Some(shortcut) => x.add(&shortcut.forward(input, ctx)?, ctx)?,
            None => x.add(input, ctx)?,
        };
        sum.relu(ctx)
    }
}

impl Forward for Resnet {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.normalize.forward(input, ctx)?;
        let x = self.conv1.forward(&x, ctx)?;
        let mut x = self.bn1.forward(&x, ctx)?.relu(ctx)?;
        for block in self.layer1.iter().chain(&self.layer2).chain(&self.layer3) {
            x = block.forward(&x, ctx)?;
        }
        let x = GlobalAvgPool2d.forward(&x, ctx)?;
        self.linear.forward(&Flatten.forward(&x, ctx)?, ctx)
    }
}

impl Rebuild for Resnet {
    type Input = Var;
    type Config = ResnetConfig;
    const NAME: &'static str = "resnet";

    fn config(&self) -> ResnetConfig {
        self.config.clone()
    }

    fn build(config: &ResnetConfig, init: &mut Init) -> Result<Resnet> {
        Resnet::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&self.config.input)?)])
    }
}
