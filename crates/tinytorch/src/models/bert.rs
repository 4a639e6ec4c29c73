//! An encoder.

use super::error::Check;
use super::{Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{
    AttentionConfig, AttentionInputs, Embedding, FeedForward, Forward, Init, LayerNorm, Module,
    MultiHeadAttention, PositionalEncoding, TransformerBlock,
};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The sizes of a [`Bert`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertConfig {
    /// Number of tokens.
    pub vocab: usize,
    /// Largest number of positions.
    pub context: usize,
    /// Number of kinds of sequences, of which an encoder of single ones uses the first; 0 for a model without
    /// kinds, as DistilBERT.
    pub types: usize,
    /// Width of a token's vector.
    pub dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of heads.
    pub heads: usize,
    /// Width between the layers of a block's feed-forward layer.
    pub hidden: usize,
    /// Constant of the norms.
    pub norm_eps: f32,
    /// The id that fills a sequence up and that no position looks at.
    pub pad: usize,
    /// The row of the table of positions for the first position. RoBERTa's begin behind the id of padding, and
    /// padding then has to stand at the end of a sequence.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_position: usize,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// An encoder as BERT (Devlin et al., 2019), RoBERTa (Liu et al., 2019) and DistilBERT (Sanh et al., 2019): learned positions, norms last, GELU by the error function.
///
/// The input is ids `[batch, length]` as i64, the output a vector for each, `[batch, length, dim]`. What
/// is padding is read off the ids. Vectors at padded positions mean nothing.
///
/// ```
/// use tinytorch::autograd::Ctx;
/// use tinytorch::models::{Architecture, BertConfig};
/// use tinytorch::nn::{Forward, Init};
/// let architecture = Architecture::Bert(BertConfig {
///     vocab: 100, context: 16, types: 2, dim: 24, layers: 2, heads: 3, hidden: 48,
///     norm_eps: 1e-12, pad: 0, first_position: 0,
/// });
/// let model = architecture.build(&mut Init::seed(0))?;
/// let vectors = model.forward(&architecture.example(2)?.into(), &mut Ctx::eval())?;
/// assert_eq!(vectors.shape().dims(), [2, 16, 24]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Bert {
    #[module(config)]
    config: BertConfig,
    /// A vector for each token.
    pub tokens: Embedding,
    /// A vector for each position.
    pub positions: PositionalEncoding,
    /// A vector for each kind of sequence, if there are kinds.
    pub types: Option<Embedding>,
    /// The norm of their sum.
    pub norm: LayerNorm,
    /// The blocks, in order.
    pub blocks: Vec<TransformerBlock>,
}

impl Bert {
    /// An encoder of these sizes.
    ///
    /// # Errors
    /// [`ModelError`](super::ModelError) for sizes and settings that make no model,
    /// [`LayerError`](crate::nn::LayerError) for a number of heads that does not divide the width.
    pub fn new(config: &BertConfig, init: &mut Init) -> Result<Bert> {
        let &BertConfig { vocab, context, types, dim, layers, heads, hidden, .. } = config;
        let check = Check("bert");
        check.transformer(layers, vocab, context, dim, hidden)?;
        check.below("the id of padding", config.pad, vocab)?;
        check.positive("the constant of the norms", config.norm_eps)?;
        if types > 0 {
            check.size("the number of types", types)?;
        }
        let positions = context.saturating_add(config.first_position);
        check.size("the table of positions", positions)?;
        let norm = |init: &mut Init| -> Result<LayerNorm> {
            Ok(LayerNorm::new(dim, init)?.with_eps(config.norm_eps))
        };
        let block = |init: &mut Init| {
            Ok(TransformerBlock::norm_last(
                MultiHeadAttention::new(AttentionConfig::new(dim, heads), init)?,
                FeedForward::new(dim, hidden, init)?,
                [norm(init)?, norm(init)?],
            ))
        };
        Ok(Bert {
            config: config.clone(),
            tokens: Embedding::with_std(vocab, dim, 0.02, init)?,
            positions: PositionalEncoding::new(positions, dim, init)?,
            types: match types {
                0 => None,
                _ => Some(Embedding::with_std(types, dim, 0.02, init)?),
            },
            norm: norm(init)?,
            blocks: (0..layers).map(|_| block(init)).collect::<Result<_>>()?,
        })
    }

    /// 1 for every id that is no padding, else 0.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the ids are i64.
    pub fn mask(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ids.is_not(self.config.pad as i64, ctx)
    }

    /// The numbers of its positions from 1 on, `[context, 1]`.
    pub(super) fn ranks(&self) -> Result<Tensor> {
        let context = self.config.context;
        Tensor::from_vec((1..=context).map(|rank| rank as f32).collect(), [context, 1])
    }
}

impl Forward for Bert {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let ids = ids.within_context(0, self.config.context, ctx)?;
        let hidden = self.tokens.forward(&ids, ctx)?;
        let first = self.config.first_position;
        let mut hidden = self.positions.forward_from(first, &hidden, ctx)?;
        if let Some(types) = &self.types {
            hidden = hidden.add(&ids.one_row(&types.weight, 0, ctx)?, ctx)?;
        }
        let mut hidden = self.norm.forward(&hidden, ctx)?;
        let mask = self.mask(&ids, ctx)?.unsqueeze(1, ctx)?;
        for block in &self.blocks {
            let inputs = AttentionInputs { mask: Some(&mask), cache: None };
            hidden = block.forward_with(&hidden, inputs, ctx)?;
        }
        Ok(hidden)
    }
}

impl Rebuild for Bert {
    type Input = Var;
    type Config = BertConfig;
    const NAME: &'static str = "bert";

    fn config(&self) -> BertConfig {
        self.config.clone()
    }

    fn build(config: &BertConfig, init: &mut Init) -> Result<Bert> {
        Bert::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        let &BertConfig { vocab, context, pad, .. } = &self.config;
        Ok(vec![Sample::Ids { vocab, context, pad: Some(pad) }])
    }
}
