//! An encoder of sentences.

use super::Bert;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Forward, Module};

/// An encoder of sentences (Reimers and Gurevych, 2019): the mean of an encoder's vectors over all tokens
/// that are no padding, scaled to length 1 if so set.
///
/// The input is ids `[batch, length]` as i64, the output a vector for each sentence, `[batch, dim]`. A
/// sentence without tokens gets zeros. Cosines of vectors of length 1 are their products.
///
/// ```
/// use tinytorch::autograd::Ctx;
/// use tinytorch::models::{Architecture, Bert, BertConfig, SentenceEncoder};
/// use tinytorch::nn::{Forward, Init};
/// let config = BertConfig {
///     vocab: 100, context: 16, types: 2, dim: 24, layers: 2, heads: 3, hidden: 48,
///     norm_eps: 1e-12, pad: 0,
/// };
/// let bert = Bert::new(&config, &mut Init::seed(0))?;
/// let encoder = SentenceEncoder { bert, normalize: true };
/// let ids = Architecture::Bert(config).example(3)?;
/// let vectors = encoder.forward(&ids.into(), &mut Ctx::eval())?;
/// assert_eq!(vectors.shape().dims(), [3, 24]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct SentenceEncoder {
    /// The encoder of tokens.
    pub bert: Bert,
    /// Whether vectors are scaled to length 1.
    #[module(config)]
    pub normalize: bool,
}

impl Forward for SentenceEncoder {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.bert.forward(ids, ctx)?;
        let mask = self.bert.mask(ids, ctx)?;
        let mean = masked_mean(&hidden, &mask, ctx)?;
        if !self.normalize {
            return Ok(mean);
        }
        let squares = mean.mul(&mean, ctx)?.sum_axis(1, true, ctx)?;
        // The bound keeps a sentence without tokens from a division by 0.
        mean.div(&squares.sqrt(ctx)?.clamp(1e-12, f32::MAX, ctx)?, ctx)
    }
}

/// The mean over the vectors `[batch, length, dim]` whose mask `[batch, length]` is 1; zeros if none is.
pub(super) fn masked_mean(hidden: &Var, mask: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let sum = hidden.mul(&mask.unsqueeze(2, ctx)?, ctx)?.sum_axis(1, false, ctx)?;
    let count = mask.sum_axis(1, true, ctx)?.clamp(1.0, f32::MAX, ctx)?;
    sum.div(&count, ctx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::models::BertConfig;
    use crate::nn::Init;

    fn encoder(normalize: bool) -> SentenceEncoder {
        let config = BertConfig {
            vocab: 20,
            context: 8,
            types: 2,
            dim: 12,
            layers: 2,
            heads: 3,
            hidden: 16,
            norm_eps: 1e-12,
            pad: 0,
        };
        SentenceEncoder { bert: Bert::new(&config, &mut Init::seed(1)).unwrap(), normalize }
    }

    fn vectors(encoder: &SentenceEncoder, ids: &[i64], length: usize) -> Tensor {
        let ids = Tensor::from_vec(ids.to_vec(), [ids.len() / length, length]).unwrap();
        encoder.forward(&ids.into(), &mut Ctx::eval()).unwrap().into_value()
    }

    #[test]
    fn padding_changes_nothing() {
        let encoder = encoder(true);
        let alone = vectors(&encoder, &[3, 1, 4], 3);
        let padded = vectors(&encoder, &[3, 1, 4, 0, 0, 5, 9, 2, 6, 5], 5).slice(0, 0..1).unwrap();
        assert!(padded.allclose(&alone, 1e-5, 1e-6).unwrap());
    }

    #[test]
    fn vectors_have_length_1_and_no_tokens_give_zeros() {
        let both = vectors(&encoder(true), &[3, 1, 4, 0, 0, 0], 3);
        let rows = both.to_vec::<f32>().unwrap();
        let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((length(&rows[..12]) - 1.0).abs() < 1e-5);
        let mean = vectors(&encoder(false), &[3, 1, 4], 3).to_vec::<f32>().unwrap();
        let scale = 1.0 / length(&mean);
        assert!(mean.iter().zip(&rows).all(|(m, v)| (m * scale - v).abs() < 1e-5));
        assert_eq!(rows[12..], [0.0; 12]);
    }
}
