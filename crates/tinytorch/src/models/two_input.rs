//! A model of an image and a text.

use super::error::Check;
use super::sentence::masked_mean;
use super::{CnnBlock, ConvBlock, Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{
    AttentionConfig, AttentionInputs, Embedding, FeedForward, Flatten, Forward, GlobalAvgPool2d,
    Init, LayerNorm, Linear, Module, MultiHeadAttention, PositionalEncoding, TransformerBlock,
};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// The sizes of an [`ImageText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTextConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// The convolutions of the image tower.
    pub blocks: Vec<CnnBlock>,
    /// Number of tokens.
    pub vocab: usize,
    /// Largest number of positions.
    pub context: usize,
    /// The id that fills a text up and that no position looks at.
    pub pad: usize,
    /// Width of a token's vector.
    pub dim: usize,
    /// Number of transformer blocks in the text tower.
    pub layers: usize,
    /// Number of heads, which divide the width.
    pub heads: usize,
    /// Width between the two layers of the joint head, and of a block's feed-forward layer.
    pub hidden: usize,
    /// Classes.
    pub outputs: usize,
}

/// A model that looks at an image and reads a text: a convolutional tower, a transformer tower, and a
/// head over what both have found.
///
/// The input is `([batch, channels, height, width], [batch, length])`, floats and ids as i64, the output
/// `[batch, outputs]`. Its parts are those of any other model, so it trains, quantizes, compiles and is
/// kept in files like one; its file names the sizes for whoever loads it:
///
/// ```
/// use std::collections::BTreeMap;
/// use tinytorch::Tensor;
/// use tinytorch::files::{TensorFile, load_into, save_params};
/// use tinytorch::models::{CnnBlock, ImageText, ImageTextConfig};
/// use tinytorch::nn::Init;
/// use tinytorch::plan::Plan;
///
/// let config = ImageTextConfig {
///     input: [1, 8, 8],
///     blocks: vec![CnnBlock { channels: 8, pool: 2 }],
///     vocab: 20, context: 6, pad: 0, dim: 16, layers: 1, heads: 2, hidden: 32, outputs: 3,
/// };
/// let model = ImageText::new(&config, &mut Init::seed(0))?;
/// let example = (Tensor::ones([2, 1, 8, 8])?, Tensor::from_vec(vec![4i64, 7, 1, 9], [2, 2])?);
/// assert_eq!(Plan::compile(&model, &example)?.run(&example)?.shape().dims(), [2, 3]);
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("image-text.safetensors");
/// let sizes = serde_json::to_string(&config).unwrap();
/// save_params(&path, &model, &BTreeMap::from([("image_text".to_string(), sizes)]))?;
///
/// let file = TensorFile::open(&path)?;
/// let config = serde_json::from_str(&file.metadata()["image_text"]).unwrap();
/// let mut loaded = ImageText::new(&config, &mut Init::absent())?;
/// load_into(&mut loaded, &file)?;
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct ImageText {
    #[module(config)]
    config: ImageTextConfig,
    /// The convolutions.
    pub image: Vec<ConvBlock>,
    /// A vector for each token.
    pub tokens: Embedding,
    /// A vector for each position.
    pub positions: PositionalEncoding,
    /// The transformer.
    pub text: Vec<TransformerBlock>,
    /// The norm after the last block.
    pub norm: LayerNorm,
    /// From both towers to what they mean together.
    pub joint: Linear,
    /// From there to the classes.
    pub head: Linear,
}

impl ImageText {
    /// A model of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes that make no model,
    /// [`LayerError`](crate::nn::LayerError) for a number of heads that does not divide the width.
    pub fn new(config: &ImageTextConfig, init: &mut Init) -> Result<ImageText> {
        let &ImageTextConfig { vocab, context, pad, dim, layers, heads, hidden, outputs, .. } =
            config;
        let check = Check("image-text");
        check.layers("the number of transformer blocks", layers)?;
        check.size("the vocabulary", vocab)?;
        check.size("the context", context)?;
        check.below("the id of padding", pad, vocab)?;
        check.size("the width", dim)?;
        check.size("the hidden width", hidden)?;
        check.size("the number of classes", outputs)?;
        let (image, [channels, ..]) = ConvBlock::stack(&check, config.input, &config.blocks, init)?;
        let block = |init: &mut Init| {
            Ok(TransformerBlock::norm_first(
                MultiHeadAttention::new(AttentionConfig::new(dim, heads), init)?,
                FeedForward::new(dim, hidden, init)?,
                [LayerNorm::new(dim, init)?, LayerNorm::new(dim, init)?],
            ))
        };
        Ok(ImageText {
            config: config.clone(),
            image,
            tokens: Embedding::with_std(vocab, dim, 0.02, init)?,
            positions: PositionalEncoding::new(context, dim, init)?,
            text: (0..layers).map(|_| block(init)).collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, init)?,
            joint: Linear::new(channels + dim, hidden, init)?,
            head: Linear::new(hidden, outputs, init)?,
        })
    }

    /// A vector for each image: the mean of each channel that the convolutions leave.
    fn see(&self, image: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut x = image.clone();
        for block in &self.image {
            x = block.forward(&x, ctx)?;
        }
        Flatten.forward(&GlobalAvgPool2d.forward(&x, ctx)?, ctx)
    }

    /// A vector for each text: the mean of its tokens, padding aside.
    fn read(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let ids = ids.within_context(0, self.config.context, ctx)?;
        let mask = ids.is_not(self.config.pad as i64, ctx)?;
        let keys = mask.unsqueeze(1, ctx)?;
        let mut hidden = self.positions.forward(&self.tokens.forward(&ids, ctx)?, ctx)?;
        for block in &self.text {
            let inputs = AttentionInputs { mask: Some(&keys), cache: None };
            hidden = block.forward_with(&hidden, inputs, ctx)?;
        }
        masked_mean(&self.norm.forward(&hidden, ctx)?, &mask, ctx)
    }
}

impl Forward<(Var, Var)> for ImageText {
    type Output = Var;

    fn forward(&self, (image, ids): &(Var, Var), ctx: &mut Ctx<'_>) -> Result<Var> {
        let both = [self.see(image, ctx)?, self.read(ids, ctx)?];
        let both = Var::cat(&[&both[0], &both[1]], 1, ctx)?;
        let joint = self.joint.forward(&both, ctx)?.relu(ctx)?;
        self.head.forward(&joint, ctx)
    }
}

impl Rebuild for ImageText {
    type Input = (Var, Var);
    type Config = ImageTextConfig;
    const NAME: &'static str = "image-text";

    fn config(&self) -> ImageTextConfig {
        self.config.clone()
    }

    fn build(config: &ImageTextConfig, init: &mut Init) -> Result<ImageText> {
        ImageText::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        let &ImageTextConfig { input, vocab, context, pad, .. } = &self.config;
        let text = Sample::Ids { vocab, context, pad: Some(pad) };
        Ok(vec![Sample::Values(Shape::new(&input)?), text])
    }
}
