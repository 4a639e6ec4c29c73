//! Convolutions and a transformer.

use super::error::Check;
use super::{CnnBlock, ConvBlock, Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{
    AttentionConfig, FeedForward, Forward, Init, LayerNorm, Linear, Module, MultiHeadAttention,
    PositionalEncoding, TransformerBlock,
};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// The sizes of a [`Hybrid`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// The convolutions; the channels of the last are the width of a token.
    pub stem: Vec<CnnBlock>,
    /// Number of transformer blocks.
    pub layers: usize,
    /// Number of heads, which divide the width.
    pub heads: usize,
    /// Width between the layers of a block's feed-forward layer.
    pub hidden: usize,
    /// Classes.
    pub outputs: usize,
}

/// Convolutions that see what lies close together, and a transformer that sees what lies far apart
/// (as the hybrid of Dosovitskiy et al., 2021): every pixel that the stem leaves is a token.
///
/// The input is `[batch, channels, height, width]`, the output `[batch, outputs]`.
///
/// ```
/// use tinytorch::autograd::Ctx;
/// use tinytorch::models::{CnnBlock, Hybrid, HybridConfig};
/// use tinytorch::nn::{Forward, Init};
/// let config = HybridConfig {
///     input: [3, 16, 16],
///     stem: vec![CnnBlock { channels: 8, pool: 2 }, CnnBlock { channels: 16, pool: 2 }],
///     layers: 2, heads: 4, hidden: 32, outputs: 5,
/// };
/// let model = Hybrid::new(&config, &mut Init::seed(0))?;
/// let images = tinytorch::Tensor::ones([2, 3, 16, 16])?;
/// assert_eq!(model.forward(&images.into(), &mut Ctx::eval())?.shape().dims(), [2, 5]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Hybrid {
    #[module(config)]
    config: HybridConfig,
    /// The convolutions.
    pub stem: Vec<ConvBlock>,
    /// A vector for each token's place in the image.
    pub positions: PositionalEncoding,
    /// The transformer.
    pub blocks: Vec<TransformerBlock>,
    /// The norm after the last block.
    pub norm: LayerNorm,
    /// From the mean of the tokens to the classes.
    pub head: Linear,
}

impl Hybrid {
    /// A network of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes of 0, sizes beyond 2^24, and pooling windows larger
    /// than what they pool; [`LayerError`](crate::nn::LayerError) for a number of heads that does not
    /// divide the width.
    pub fn new(config: &HybridConfig, init: &mut Init) -> Result<Hybrid> {
        let check = Check("hybrid");
        check.layers("the number of transformer blocks", config.layers)?;
        check.size("the hidden width", config.hidden)?;
        check.size("the number of classes", config.outputs)?;
        let (stem, [dim, height, width]) =
            ConvBlock::stack(&check, config.input, &config.stem, init)?;
        let block = |init: &mut Init| {
            Ok(TransformerBlock::norm_first(
                MultiHeadAttention::new(AttentionConfig::new(dim, config.heads), init)?,
                FeedForward::new(dim, config.hidden, init)?,
                [LayerNorm::new(dim, init)?, LayerNorm::new(dim, init)?],
            ))
        };
        Ok(Hybrid {
            config: config.clone(),
            stem,
            positions: PositionalEncoding::new(height.saturating_mul(width), dim, init)?,
            blocks: (0..config.layers).map(|_| block(init)).collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, init)?,
            head: Linear::new(dim, config.outputs, init)?,
        })
    }
}

impl Forward for Hybrid {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut image = input.clone();
        for block in &self.stem {
            image = block.forward(&image, ctx)?;
        }
        let tokens = image.flatten(2, 3, ctx)?.transpose(1, 2, ctx)?;
        let mut tokens = self.positions.forward(&tokens, ctx)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, ctx)?;
        }
        let mean = self.norm.forward(&tokens, ctx)?.mean_axis(1, false, ctx)?;
        self.head.forward(&mean, ctx)
    }
}

impl Rebuild for Hybrid {
    type Input = Var;
    type Config = HybridConfig;
    const NAME: &'static str = "hybrid";

    fn config(&self) -> HybridConfig {
        self.config.clone()
    }

    fn build(config: &HybridConfig, init: &mut Init) -> Result<Hybrid> {
        Hybrid::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&self.config.input)?)])
    }
}
