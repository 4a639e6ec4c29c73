//! Transformer blocks.

use super::{
    AttentionInputs, Dropout, FeedForward, Forward, LayerNorm, Module, MultiHeadAttention,
};
use crate::Result;
use crate::autograd::{Ctx, Var};

/// Attention and a feed-forward layer, each with a norm and a way around it.
///
/// Norms first, as in GPT and Llama (Xiong et al., 2020):
/// `h = x + attention(norm1(x)); y = h + mlp(norm2(h))`. Norms last, as in the first transformer and
/// BERT: `h = norm1(x + attention(x)); y = norm2(h + mlp(h))`.
///
/// The norms and the feed-forward layer may be of any kind; a Llama has a
/// `TransformerBlock<RmsNorm, SwiGlu>`. The input and the output are `[batch, length, embed_dim]`.
///
/// ```
/// use tinytorch::nn::*;
/// use tinytorch::{Tensor, autograd::Ctx};
/// let mut init = Init::seed(0);
/// let causal = AttentionConfig { causal: true, ..AttentionConfig::new(16, 4) };
/// let block = TransformerBlock::norm_first(
///     MultiHeadAttention::new(causal, &mut init)?,
///     FeedForward::new(16, 64, &mut init)?,
///     [LayerNorm::new(16, &mut init)?, LayerNorm::new(16, &mut init)?],
/// );
/// let y = block.forward(&Tensor::ones([2, 5, 16])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 5, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct TransformerBlock<
    N: Forward<Output = Var> = LayerNorm,
    F: Forward<Output = Var> = FeedForward,
> {
    #[module(config)]
    norm_first: bool,
    /// The attention.
    pub attention: MultiHeadAttention,
    /// The attention's norm.
    pub norm1: N,
    /// The feed-forward layer.
    pub mlp: F,
    /// The feed-forward layer's norm.
    pub norm2: N,
    /// Applied to what the two layers add.
    pub dropout: Dropout,
}

impl<N: Forward<Output = Var>, F: Forward<Output = Var>> TransformerBlock<N, F> {
    /// A block whose norms come before its layers, without dropout.
    pub fn norm_first(attention: MultiHeadAttention, mlp: F, norms: [N; 2]) -> Self {
        let [norm1, norm2] = norms;
        let dropout = Dropout::default();
        TransformerBlock { norm_first: true, attention, norm1, mlp, norm2, dropout }
    }

    /// A block whose norms come after the sums, without dropout.
    pub fn norm_last(attention: MultiHeadAttention, mlp: F, norms: [N; 2]) -> Self {
        TransformerBlock { norm_first: false, ..Self::norm_first(attention, mlp, norms) }
    }

    /// The same block with this dropout.
    pub fn with_dropout(self, dropout: Dropout) -> Self {
        TransformerBlock { dropout, ..self }
    }

    /// The output for an input, a mask and a cache.
    ///
    /// # Errors
    /// As [`MultiHeadAttention::forward_with`].
    pub fn forward_with(
        &self,
        input: &Var,
        inputs: AttentionInputs<'_>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let attend = |x: &Var, ctx: &mut Ctx<'_>| self.attention.forward_with(x, inputs, ctx);
        let hidden = self.around(&self.norm1, input, attend, ctx)?;
        self.around(&self.norm2, &hidden, |x, ctx| self.mlp.forward(x, ctx), ctx)
    }

    /// A layer with its norm and the way around it.
    fn around<'c>(
        &self,
        norm: &N,
        x: &Var,
        layer: impl FnOnce(&Var, &mut Ctx<'c>) -> Result<Var>,
        ctx: &mut Ctx<'c>,
    ) -> Result<Var> {
        let normed = if self.norm_first { norm.forward(x, ctx)? } else { x.clone() };
        let added = layer(&normed, ctx)?;
        let sum = x.add(&self.dropout.forward(&added, ctx)?, ctx)?;
        if self.norm_first { Ok(sum) } else { norm.forward(&sum, ctx) }
    }
}

impl<N: Forward<Output = Var>, F: Forward<Output = Var>> Forward for TransformerBlock<N, F> {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.forward_with(input, AttentionInputs::default(), ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{AttentionConfig, Init, RmsNorm, SwiGlu};
    use crate::{Rng, Tensor};

    fn input() -> Tensor {
        Tensor::randn([2, 3, 8], 1.0, &mut Rng::seed(1)).unwrap()
    }

    fn encoder() -> TransformerBlock {
        let init = &mut Init::seed(2);
        let attention = MultiHeadAttention::new(AttentionConfig::new(8, 2), init).unwrap();
        let norms = [LayerNorm::new(8, init).unwrap(), LayerNorm::new(8, init).unwrap()];
        TransformerBlock::norm_last(attention, FeedForward::new(8, 16, init).unwrap(), norms)
    }

    #[test]
    fn norms_last_leave_standardized_rows() {
        let y = encoder().forward(&input().into(), &mut Ctx::eval()).unwrap();
        for row in y.value().to_vec::<f32>().unwrap().chunks(8) {
            assert!(row.iter().sum::<f32>().abs() < 1e-4);
            assert!((row.iter().map(|v| v * v).sum::<f32>() / 8.0 - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn norms_first_leave_a_straight_way_through() {
        let init = &mut Init::seed(2);
        let config = AttentionConfig { bias: false, ..AttentionConfig::new(8, 2) };
        let mut block = TransformerBlock::norm_first(
            MultiHeadAttention::new(config, init).unwrap(),
            SwiGlu::new(8, 12, init).unwrap(),
            [RmsNorm::new(8, init).unwrap(), RmsNorm::new(8, init).unwrap()],
        );
        for silenced in [&mut block.attention.out_proj.weight, &mut block.mlp.down_proj.weight] {
            silenced.value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(0.0);
        }
        let y = block.forward(&input().into(), &mut Ctx::eval()).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), input().to_vec::<f32>().unwrap());
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        let block = encoder().with_dropout(Dropout::new(0.1).unwrap());
        let mut ctx = Ctx::train(Rng::seed(3));
        let y = block.forward(&input().into(), &mut ctx).unwrap();
        let loss = y.mul(&y, &mut ctx).unwrap().mul(&y, &mut ctx).unwrap();
        let loss = loss.mean(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        for (name, param) in block.named_params() {
            assert!(grads.of(param).is_some(), "{name}");
        }
    }
}
