//! A decoder with rotary positions.

use super::decoder::{Decoder, DecoderSizes, run_blocks};
use super::error::Check;
use super::{Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{
    AttentionConfig, Embedding, Forward, Init, KeyValueCache, Linear, Module, MultiHeadAttention,
    RmsNorm, SwiGlu, TransformerBlock,
};
use crate::ops::{Rope, RopePairs, RopeScaling};
use serde::{Deserialize, Serialize};

/// The sizes and kind of a [`Llama`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaConfig {
    /// Number of tokens.
    pub vocab: usize,
    /// Largest number of positions.
    pub context: usize,
    /// Width of a token's vector.
    pub dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads, each shared by `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width between the layers of a block's SwiGLU.
    pub hidden: usize,
    /// Rotary positions.
    pub rope: Rope,
    /// Constant of the norms.
    pub norm_eps: f32,
    /// Whether the output head is the token table, stored once.
    pub tied: bool,
    /// Whether queries, keys and values have biases, as Qwen2 gives them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// Width of a head, if it is not `dim / heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Whether each head's queries and keys pass a norm, as Qwen3's do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub qk_norm: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl LlamaConfig {
    /// What llama2.c fixes beside the sizes, which are those of its smallest model, stories260K.
    pub const LLAMA2_C: LlamaConfig = LlamaConfig {
        vocab: 512,
        context: 512,
        dim: 64,
        layers: 5,
        heads: 8,
        kv_heads: 4,
        hidden: 172,
        rope: Rope::new(10_000.0, RopePairs::Interleaved),
        norm_eps: 1e-5,
        tied: true,
        qkv_bias: false,
        head_dim: None,
        qk_norm: false,
    };
}

/// A decoder as Llama (Touvron et al., 2023): root-mean-square norms first, rotary positions, grouped key
/// and value heads, SwiGLU, no biases but those of queries, keys and values if so set, as Mistral and Qwen2
/// are too. Qwen3 has norms of queries and keys, and a width of heads of its own.
///
/// The input is ids `[batch, length]` as i64, the output scores of the next token,
/// `[batch, length, vocab]`.
#[derive(Module, Clone, Debug)]
pub struct Llama {
    #[module(config)]
    config: LlamaConfig,
    /// A vector for each token.
    pub tokens: Embedding,
    /// The blocks, in order.
    pub blocks: Vec<TransformerBlock<RmsNorm, SwiGlu>>,
    /// The last norm.
    pub norm: RmsNorm,
    /// The output head, unless it is the token table.
    pub head: Option<Linear>,
}

impl Llama {
    /// A decoder of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes and settings that make no model,
    /// [`LayerError`](crate::nn::LayerError) for numbers of heads that do not fit the width.
    pub fn new(config: &LlamaConfig, init: &mut Init) -> Result<Llama> {
        let &LlamaConfig { vocab, context, dim, layers, heads, kv_heads, hidden, .. } = config;
        let check = Check("llama");
        check.transformer(layers, vocab, context, dim, hidden)?;
        check.positive("the base of the rotary positions", config.rope.base)?;
        check_scaling(&check, &config.rope)?;
        check.positive("the constant of the norms", config.norm_eps)?;
        let attention = AttentionConfig {
            num_kv_heads: kv_heads,
            head_dim: config.head_dim,
            qk_norm: config.qk_norm.then_some(config.norm_eps),
            bias: config.qkv_bias,
            causal: true,
            rope: Some(config.rope),
            ..AttentionConfig::new(dim, heads)
        };
        let norm = |init: &mut Init| -> Result<RmsNorm> {
            Ok(RmsNorm::new(dim, init)?.with_eps(config.norm_eps))
        };
        let attention = |init: &mut Init| -> Result<MultiHeadAttention> {
            let mut attention = MultiHeadAttention::new(attention, init)?;
            if config.qkv_bias {
                let inputs = heads * config.head_dim.unwrap_or(dim / heads);
                attention.out_proj = Linear::without_bias(inputs, dim, init)?;
            }
            Ok(attention)
        };
        let block = |init: &mut Init| {
            Ok(TransformerBlock::norm_first(
                attention(init)?,
                SwiGlu::new(dim, hidden, init)?,
                [norm(init)?, norm(init)?],
            ))
        };
        let tokens = Embedding::with_std(vocab, dim, 0.02, init)?;
        let blocks = (0..layers).map(|_| block(init)).collect::<Result<_>>()?;
        let norm = norm(init)?;
        let head = if config.tied { None } else { Some(Linear::without_bias(dim, vocab, init)?) };
        Ok(Llama { config: config.clone(), tokens, blocks, norm, head })
    }
}

/// Refuses scalings that give no angles.
fn check_scaling(check: &Check, rope: &Rope) -> Result<()> {
    let factor = |factor| check.positive("the factor of the rotary positions", factor);
    match rope.scaling {
        None => Ok(()),
        Some(RopeScaling::Linear { factor: by }) => factor(by),
        Some(RopeScaling::Llama3 { factor: by, low, high, context }) => {
            factor(by)?;
            check.size("the context before scaling", context)?;
            check.positive("the lower number of turns", low)?;
            check.positive("the difference of the numbers of turns", high - low)
        }
        Some(RopeScaling::Yarn { factor: by, fast, slow, context, length, .. }) => {
            factor(by)?;
            check.size("the context before scaling", context)?;
            check.positive("the lower number of turns", slow)?;
            check.positive("the difference of the numbers of turns", fast - slow)?;
            check.positive("the length of turned vectors", length)?;
            check.positive("the base of the rotary positions, less 1,", rope.base - 1.0)
        }
    }
}

impl Forward for Llama {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.scores(ids, 0, &mut [], ctx).map_err(|error| self.locate(error, ctx))
    }
}

impl Decoder for Llama {
    fn sizes(&self) -> DecoderSizes {
        let LlamaConfig { vocab, context, dim, layers, heads, kv_heads, .. } = self.config;
        let head_dim = self.config.head_dim.unwrap_or(dim / heads);
        DecoderSizes { vocab, context, blocks: layers, kv_heads, head_dim }
    }

    fn scores(
        &self,
        ids: &Var,
        offset: usize,
        caches: &mut [Box<dyn KeyValueCache>],
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let ids = ids.within_context(offset, self.config.context, ctx)?;
        let hidden = self.tokens.forward(&ids, ctx)?;
        let hidden = run_blocks(&self.blocks, hidden, caches, ctx)?;
        let hidden = self.norm.forward(&hidden, ctx)?;
        match &self.head {
            Some(head) => head.forward(&hidden, ctx),
            None => self.tokens.scores(&hidden, ctx),
        }
    }
}

impl Rebuild for Llama {
    type Input = Var;
    type Config = LlamaConfig;
    const NAME: &'static str = "llama";

    fn config(&self) -> LlamaConfig {
        self.config.clone()
    }

    fn build(config: &LlamaConfig, init: &mut Init) -> Result<Llama> {
        Llama::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::ids(self.config.vocab, self.config.context)])
    }

    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
}
