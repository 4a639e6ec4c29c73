//! Multi-head attention.

use super::{Dropout, Forward, Init, LayerError, Linear, Module, RmsNorm};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::ops::{AttentionMask, Rope};
use crate::tensor::{Tensor, TensorError};

/// The sizes and kind of a [`MultiHeadAttention`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Width of the input and the output.
    pub embed_dim: usize,
    /// Number of query heads, which divide the width unless `head_dim` is given.
    pub num_heads: usize,
    /// Number of key and value heads, each shared by `num_heads / num_kv_heads` query heads.
    pub num_kv_heads: usize,
    /// Width of a head, if it is not `embed_dim / num_heads`.
    pub head_dim: Option<usize>,
    /// The constant of norms of each head's queries and keys, before positions turn them, if there are such
    /// norms.
    pub qk_norm: Option<f32>,
    /// Whether the four projections have biases.
    pub bias: bool,
    /// Whether a position sees only itself and earlier ones.
    pub causal: bool,
    /// Rotary positions of queries and keys.
    pub rope: Option<Rope>,
    /// Probability with which an attention weight is dropped in training.
    pub dropout: f32,
}

impl AttentionConfig {
    /// As many key heads as query heads, with biases; neither causal nor rotary, without dropout.
    pub fn new(embed_dim: usize, num_heads: usize) -> AttentionConfig {
        AttentionConfig {
            embed_dim,
            num_heads,
            num_kv_heads: num_heads,
            head_dim: None,
            qk_norm: None,
            bias: true,
            causal: false,
            rope: None,
            dropout: 0.0,
        }
    }

    /// Width of a head, if the heads fit.
    fn head_dim(&self) -> Result<usize, LayerError> {
        let AttentionConfig { embed_dim, num_heads, num_kv_heads, .. } = *self;
        let is_divided = self.head_dim.is_some() || embed_dim.is_multiple_of(num_heads.max(1));
        if num_heads == 0 || !is_divided {
            return Err(LayerError::Heads { embed_dim, num_heads });
        }
        if num_kv_heads == 0 || !num_heads.is_multiple_of(num_kv_heads) {
            return Err(LayerError::KeyValueHeads { num_heads, num_kv_heads });
        }
        let head_dim = self.head_dim.unwrap_or(embed_dim / num_heads);
        if num_heads.checked_mul(head_dim).is_none_or(|width| width == 0) {
            return Err(LayerError::Heads { embed_dim, num_heads });
        }
        if self.rope.is_some() && !head_dim.is_multiple_of(2) {
            return Err(LayerError::OddHead { head_dim });
        }
        Ok(head_dim)
    }
}

/// The keys and values of the positions that came before, of one layer.
///
/// A cache answers queries itself, so that it may hold keys and values in any form.
pub trait KeyValueCache {
    /// Number of positions held.
    fn positions(&self) -> usize;

    /// Adds the keys and values of the next positions, each `[batch, kv_heads, new, head_dim]`.
    ///
    /// # Errors
    /// If they do not fit the cache or it is full; the cache is then as it was.
    fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<()>;

    /// The attention of queries, `[batch, heads, new, head_dim]`, over all positions held, the last
    /// query standing at the last position; the result has the same shape.
    ///
    /// # Errors
    /// If the queries or the mask do not fit the cache.
    fn attend(&self, queries: &Var, mask: AttentionMask<'_>, ctx: &mut Ctx<'_>) -> Result<Var>;

    /// Forgets all positions from `positions` on.
    fn truncate(&mut self, positions: usize);
}

/// What attention takes beside its input.
#[derive(Default)]
pub struct AttentionInputs<'a> {
    /// 1 for a key to look at, 0 for padding: `[queries, keys]`, `[batch, queries, keys]` or
    /// `[batch, heads, queries, keys]`, where every axis but the last may be 1.
    pub mask: Option<&'a Var>,
    /// Where earlier keys and values are, and where those of this input go.
    pub cache: Option<&'a mut dyn KeyValueCache>,
}

/// Attention of several heads side by side (Vaswani et al., 2017):
/// `y = O concat over heads of softmax(Q K^T / sqrt(head_dim)) V`, with `Q`, `K` and `V` linear in `x`.
///
/// Query heads may share key and value heads (Ainslie et al., 2023), and each head's queries and keys may pass a
/// root-mean-square norm, as in Qwen3. The input and the output are
/// `[batch, length, embed_dim]`.
///
/// ```
/// use tinytorch::nn::{AttentionConfig, Forward, Init, MultiHeadAttention};
/// use tinytorch::{Tensor, autograd::Ctx};
/// let config = AttentionConfig { causal: true, ..AttentionConfig::new(16, 4) };
/// let layer = MultiHeadAttention::new(config, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([2, 5, 16])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 5, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct MultiHeadAttention {
    #[module(config)]
    num_heads: usize,
    #[module(config)]
    num_kv_heads: usize,
    #[module(config)]
    causal: bool,
    #[module(config)]
    rope: Option<Rope>,
    #[module(skip)]
    head_dim: usize,
    /// `Q`, `embed_dim` to `num_heads * head_dim`.
    pub q_proj: Linear,
    /// `K`, `embed_dim` to `num_kv_heads * head_dim`.
    pub k_proj: Linear,
    /// `V`, `embed_dim` to `num_kv_heads * head_dim`.
    pub v_proj: Linear,
    /// `O`, `num_heads * head_dim` to `embed_dim`.
    pub out_proj: Linear,
    /// The norm of each head's queries, if there is one.
    pub q_norm: Option<RmsNorm>,
    /// The norm of each head's keys, if there is one.
    pub k_norm: Option<RmsNorm>,
    /// Applied to the attention weights.
    pub dropout: Dropout,
}

impl MultiHeadAttention {
    /// A layer of these sizes.
    ///
    /// # Errors
    /// [`LayerError`] for numbers of heads that do not fit,
    /// [`OpError::Probability`](crate::ops::OpError::Probability) for the dropout.
    pub fn new(config: AttentionConfig, init: &mut Init) -> Result<MultiHeadAttention> {
        let head_dim = config.head_dim()?;
        let AttentionConfig { embed_dim, num_heads, num_kv_heads, causal, rope, .. } = config;
        let mut linear = |inputs, outputs| match config.bias {
            true => Linear::new(inputs, outputs, init),
            false => Linear::without_bias(inputs, outputs, init),
        };
        let (q_width, kv_width) = (num_heads * head_dim, num_kv_heads * head_dim);
        let q_proj = linear(embed_dim, q_width)?;
        let k_proj = linear(embed_dim, kv_width)?;
        let v_proj = linear(embed_dim, kv_width)?;
        let out_proj = linear(q_width, embed_dim)?;
        let mut norm = || -> Result<Option<RmsNorm>> {
            let Some(eps) = config.qk_norm else { return Ok(None) };
            Ok(Some(RmsNorm::new(head_dim, init)?.with_eps(eps)))
        };
        Ok(MultiHeadAttention {
            num_heads,
            num_kv_heads,
            causal,
            rope,
            head_dim,
            q_proj,
            k_proj,
            v_proj,
            out_proj,
            q_norm: norm()?,
            k_norm: norm()?,
            dropout: Dropout::new(config.dropout)?,
        })
    }

    /// The output for an input, a mask and a cache.
    ///
    /// # Errors
    /// [`TensorError`] if the input or the mask do not fit, [`LayerError::RecordedCache`] for a cache in
    /// a recorded pass, or what the cache reports.
    pub fn forward_with(
        &self,
        input: &Var,
        inputs: AttentionInputs<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        if input.shape().rank() != 3 {
            let (shape, expected) = (*input.shape(), "[batch, length, embed_dim] is needed".into());
            return Err(TensorError::Shape { op: "attention", shape, expected }.into());
        }
        let mut q = self.heads(&self.q_proj, self.num_heads, input, ctx)?;
        let mut k = self.heads(&self.k_proj, self.num_kv_heads, input, ctx)?;
        let v = self.heads(&self.v_proj, self.num_kv_heads, input, ctx)?;
        if let Some(norm) = &self.q_norm {
            q = norm.forward(&q, ctx)?;
        }
        if let Some(norm) = &self.k_norm {
            k = norm.forward(&k, ctx)?;
        }
        if let Some(rope) = self.rope {
            let offset = inputs.cache.as_ref().map_or(0, |cache| cache.positions());
            q = q.rope(rope, offset, ctx)?;
            k = k.rope(rope, offset, ctx)?;
        }
        let keep = inputs.mask.map(|mask| self.mask_of_heads(mask, ctx)).transpose()?;
        let mixed = match inputs.cache {
            None => self.attend(q, k, v, keep, ctx)?,
            Some(_) if k.is_tracked() || v.is_tracked() => {
                return Err(LayerError::RecordedCache.into());
            }
            Some(cache) => {
                cache.append(k.value(), v.value())?;
                cache.attend(&q, AttentionMask { causal: self.causal, keep: keep.as_ref() }, ctx)?
            }
        };
        let joined = mixed.permute(&[0, 2, 1, 3], ctx)?.flatten(2, 3, ctx)?;
        self.out_proj.forward(&joined, ctx)
    }

    /// What the heads see in the input itself, `[batch, heads, length, head_dim]`.
    fn attend(
        &self,
        mut q: Var,
        mut k: Var,
        mut v: Var,
        mut keep: Option<Var>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let groups = self.num_heads / self.num_kv_heads;
        if groups > 1 {
            q = q.unflatten(1, &[self.num_kv_heads, groups], ctx)?;
            k = k.unsqueeze(2, ctx)?;
            v = v.unsqueeze(2, ctx)?;
            keep = keep.map(|mask| self.mask_of_groups(&mask, groups, ctx)).transpose()?;
        }
        let mask = AttentionMask { causal: self.causal, keep: keep.as_ref() };
        let mixed = if self.dropout.drops(ctx) {
            let weights = q.attention_weights(&k, mask, ctx)?;
            self.dropout.forward(&weights, ctx)?.matmul(&v, ctx)?
        } else {
            q.scaled_dot_product_attention(&k, &v, mask, ctx)?
        };
        if groups > 1 { mixed.flatten(1, 2, ctx) } else { Ok(mixed) }
    }

    /// A projection as `[batch, heads, length, head_dim]`.
    fn heads(&self, layer: &Linear, heads: usize, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let projected = layer.forward(x, ctx)?;
        projected.unflatten(2, &[heads, self.head_dim], ctx)?.permute(&[0, 2, 1, 3], ctx)
    }

    /// A mask as `[batch, heads, queries, keys]`, where all but the keys may be 1.
    fn mask_of_heads(&self, mask: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match mask.shape().rank() {
            2 => mask.unsqueeze(0, ctx)?.unsqueeze(0, ctx),
            3 => mask.unsqueeze(1, ctx),
            4 => Ok(mask.clone()),
            _ => {
                let expected =
                    "a mask is [queries, keys], with [batch] or [batch, heads] before them";
                let (shape, expected) = (*mask.shape(), expected.into());
                Err(TensorError::Shape { op: "attention mask", shape, expected }.into())
            }
        }
    }

    /// The same as `[batch, kv_heads, groups, queries, keys]`.
    fn mask_of_groups(&self, mask: &Var, groups: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        match mask.shape()[1] {
            1 => mask.unsqueeze(2, ctx),
            _ => mask.unflatten(1, &[self.num_kv_heads, groups], ctx),
        }
    }
}

impl Forward for MultiHeadAttention {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.forward_with(input, AttentionInputs::default(), ctx)
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
