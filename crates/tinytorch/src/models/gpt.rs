//! A decoder with learned positions.

use super::decoder::{Decoder, DecoderSizes, run_blocks};
use super::error::Check;
use super::{Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{
    Activation, AttentionConfig, Dropout, Embedding, FeedForward, Forward, Init, KeyValueCache,
    LayerNorm, Module, MultiHeadAttention, PositionalEncoding, TransformerBlock,
};
use serde::{Deserialize, Serialize};

/// The sizes of a [`Gpt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptConfig {
    /// Number of tokens.
    pub vocab: usize,
    /// Largest number of positions.
    pub context: usize,
    /// Width of a token's vector.
    pub dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of heads.
    pub heads: usize,
    /// Width between the layers of a block's feed-forward layer.
    pub hidden: usize,
    /// Probability with which training drops an entry of the embedding, an attention weight, or an
    /// entry of what a layer adds.
    pub dropout: f32,
    /// Constant of the norms.
    #[serde(default = "usual_eps", skip_serializing_if = "is_usual_eps")]
    pub norm_eps: f32,
    /// The function in the feed-forward layers.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub activation: Activation,
}

fn usual_eps() -> f32 {
    GptConfig::NORM_EPS
}

fn is_usual_eps(eps: &f32) -> bool {
    *eps == GptConfig::NORM_EPS
}

fn is_usual(activation: &Activation) -> bool {
    *activation == Activation::default()
}

impl GptConfig {
    /// The constant of the norms that GPT-2 has.
    pub const NORM_EPS: f32 = 1e-5;

    /// The preset `talks-gpt`, for 64 characters of the embedded text.
    pub const TALKS_GPT: GptConfig = GptConfig {
        vocab: 69,
        context: 64,
        dim: 128,
        layers: 2,
        heads: 4,
        hidden: 512,
        dropout: 0.15,
        norm_eps: GptConfig::NORM_EPS,
        activation: Activation::Gelu,
    };
}

/// A decoder as GPT-2 (Radford et al., 2019): norms first, learned positions, an output head that is
/// the token table. GELU is by the error function unless it is set otherwise; GPT-2's own is by `tanh`.
///
/// The input is ids `[batch, length]` as i64, the output scores of the next token,
/// `[batch, length, vocab]`.
#[derive(Module, Clone, Debug)]
pub struct Gpt {
    #[module(config)]
    config: GptConfig,
    /// A vector for each token, and the output head.
    pub tokens: Embedding,
    /// A vector for each position.
    pub positions: PositionalEncoding,
    /// Applied to the sum of both.
    pub dropout: Dropout,
    /// The blocks, in order.
    pub blocks: Vec<TransformerBlock>,
    /// The last norm.
    pub norm: LayerNorm,
}

impl Gpt {
    /// A decoder of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes that make no model,
    /// [`LayerError`](crate::nn::LayerError) for a number of heads that does not divide the width,
    /// [`OpError::Probability`](crate::ops::OpError::Probability) for the dropout.
    pub fn new(config: &GptConfig, init: &mut Init) -> Result<Gpt> {
        let &GptConfig { vocab, context, dim, layers, heads, hidden, .. } = config;
        let check = Check("gpt");
        check.transformer(layers, vocab, context, dim, hidden)?;
        check.positive("the constant of the norms", config.norm_eps)?;
        let dropout = Dropout::new(config.dropout)?;
        let attention = AttentionConfig {
            causal: true,
            dropout: config.dropout,
            ..AttentionConfig::new(dim, heads)
        };
        let norm = |init: &mut Init| -> Result<LayerNorm> {
            Ok(LayerNorm::new(dim, init)?.with_eps(config.norm_eps))
        };
        let block = |init: &mut Init| {
            Ok(TransformerBlock::norm_first(
                MultiHeadAttention::new(attention, init)?,
                FeedForward::new(dim, hidden, init)?.with_activation(config.activation),
                [norm(init)?, norm(init)?],
            )
            .with_dropout(dropout))
        };
        Ok(Gpt {
            config: config.clone(),
            tokens: Embedding::with_std(vocab, dim, 0.02, init)?,
            positions: PositionalEncoding::new(context, dim, init)?,
            dropout,
            blocks: (0..layers).map(|_| block(init)).collect::<Result<_>>()?,
            norm: norm(init)?,
        })
    }
}

impl Forward for Gpt {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.scores(ids, 0, &mut [], ctx).map_err(|error| self.locate(error, ctx))
    }
}

impl Decoder for Gpt {
    fn sizes(&self) -> DecoderSizes {
        let GptConfig { vocab, context, dim, layers, heads, .. } = self.config;
        DecoderSizes { vocab, context, blocks: layers, kv_heads: heads, head_dim: dim / heads }
    }

    fn scores(
        &self,
        ids: &Var,
        offset: usize,
        caches: &mut [Box<dyn KeyValueCache>],
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let hidden = self.tokens.forward(ids, ctx)?;
        let hidden = self.positions.forward_from(offset, &hidden, ctx)?;
        let hidden = self.dropout.forward(&hidden, ctx)?;
        let hidden = run_blocks(&self.blocks, hidden, caches, ctx)?;
        self.tokens.scores(&self.norm.forward(&hidden, ctx)?, ctx)
    }
}

impl Rebuild for Gpt {
    type Input = Var;
    type Config = GptConfig;
    const NAME: &'static str = "gpt";

    fn config(&self) -> GptConfig {
        self.config.clone()
    }

    fn build(config: &GptConfig, init: &mut Init) -> Result<Gpt> {
        Gpt::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::ids(self.config.vocab, self.config.context)])
    }

    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
}
