//! An encoder of sentences.

use super::{Architecture, Bert, BertConfig, Model, Rebuild, Sample, description};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Forward, Init, Module};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How the vectors of a sentence's tokens become one; padding never counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The first position's, where BERT has its token `[CLS]`.
    Cls,
    /// The last token's.
    LastToken,
    /// The largest of each entry.
    Max,
}

/// An encoder of sentences (Reimers and Gurevych, 2019): an encoder's vectors of all tokens that are no
/// padding, [pooled](Pooling) into one, which is scaled to length 1 if so set.
///
/// The input is ids `[batch, length]` as i64, the output a vector for each sentence, `[batch, dim]`. A
/// sentence without tokens gets zeros by a mean. Cosines of vectors of length 1 are their products.
///
/// ```
/// use tinytorch::autograd::Ctx;
/// use tinytorch::models::{Architecture, Bert, BertConfig, Pooling, SentenceEncoder};
/// use tinytorch::nn::{Forward, Init};
/// let config = BertConfig {
///     vocab: 100, context: 16, types: 2, dim: 24, layers: 2, heads: 3, hidden: 48,
///     norm_eps: 1e-12, pad: 0, first_position: 0,
/// };
/// let bert = Bert::new(&config, &mut Init::seed(0))?;
/// let encoder = SentenceEncoder { bert, pooling: Pooling::Mean, normalize: true };
/// let ids = Architecture::Bert(config).example(3)?;
/// let vectors = encoder.forward(&ids.into(), &mut Ctx::eval())?;
/// assert_eq!(vectors.shape().dims(), [3, 24]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct SentenceEncoder {
    /// The encoder of tokens.
    pub bert: Bert,
    /// How their vectors become one.
    #[module(config)]
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    #[module(config)]
    pub normalize: bool,
}

impl Forward for SentenceEncoder {
    type Output = Var;

    fn forward(&self, ids: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.bert.forward(ids, ctx)?;
        let mask = self.bert.mask(ids, ctx)?;
        let pooled = match self.pooling {
            Pooling::Mean => masked_mean(&hidden, &mask, ctx)?,
            Pooling::Cls => hidden.slice(1, 0..1, ctx)?.squeeze(1, ctx)?,
            Pooling::LastToken => {
                let last = last_of(&mask, &self.bert.ranks()?, ctx)?;
                hidden.mul(&last, ctx)?.sum_axis(1, false, ctx)?
            }
            Pooling::Max => masked_max(&hidden, &mask, ctx)?,
        };
        if !self.normalize {
            return Ok(pooled);
        }
        let squares = pooled.mul(&pooled, ctx)?.sum_axis(1, true, ctx)?;
        // The bound keeps a sentence without tokens from a division by 0.
        pooled.div(&squares.sqrt(ctx)?.clamp(1e-12, f32::MAX, ctx)?, ctx)
    }
}

/// The settings of a [`SentenceEncoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceConfig {
    /// The sizes of the encoder of tokens.
    pub bert: BertConfig,
    /// How its vectors become one.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
}

impl Rebuild for SentenceEncoder {
    type Input = Var;
    type Config = SentenceConfig;
    const NAME: &'static str = "sentence-encoder";

    fn config(&self) -> SentenceConfig {
        let SentenceEncoder { ref bert, pooling, normalize } = *self;
        SentenceConfig { bert: bert.config(), pooling, normalize }
    }

    fn build(config: &SentenceConfig, init: &mut Init) -> Result<SentenceEncoder> {
        let &SentenceConfig { ref bert, pooling, normalize } = config;
        Ok(SentenceEncoder { bert: Bert::new(bert, init)?, pooling, normalize })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Rebuild::samples(&self.bert)
    }
}

impl dyn Model + '_ {
    /// What holds its weights: its own `architecture`, and that of the encoder of tokens
    /// in a [`SentenceEncoder`].
    pub fn backbone(&self) -> Option<Architecture> {
        if self.kind() != SentenceEncoder::NAME {
            return self.architecture();
        }
        let (kind, fields) = description::read(&self.description().ok()?).ok()?;
        let config: SentenceConfig = description::config(&kind, fields).ok()?;
        Some(Architecture::Bert(config.bert))
    }
}

/// The mean over the vectors `[batch, length, dim]` whose mask `[batch, length]` is 1; zeros if none is.
pub(super) fn masked_mean(hidden: &Var, mask: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let sum = hidden.mul(&mask.unsqueeze(2, ctx)?, ctx)?.sum_axis(1, false, ctx)?;
    let count = mask.sum_axis(1, true, ctx)?.clamp(1.0, f32::MAX, ctx)?;
    sum.div(&count, ctx)
}

/// The largest entries of the vectors `[batch, length, dim]` whose mask `[batch, length]` is 1.
fn masked_max(hidden: &Var, mask: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    // Where the mask is 1 this adds a zero, which changes no number.
    let below = mask.add_scalar(-1.0, ctx)?.mul_scalar(1e9, ctx)?;
    hidden.add(&below.unsqueeze(2, ctx)?, ctx)?.max_axis(1, false, ctx)
}

/// 1 at the last position whose mask `[batch, length]` is 1, else 0: `[batch, length, 1]`. `ranks` are
/// the numbers of the positions from 1 on, `[context, 1]`.
fn last_of(mask: &Var, ranks: &Tensor, ctx: &mut Ctx<'_>) -> Result<Var> {
    let mask = mask.unsqueeze(2, ctx)?;
    let at = mask.mul_scalar(0.0, ctx)?.fixed_positions(ranks, 0, ctx)?.mul(&mask, ctx)?;
    let last = at.max_axis(1, true, ctx)?;
    let is_last = at.sub(&last, ctx)?.add_scalar(1.0, ctx)?.clamp(0.0, 1.0, ctx)?;
    is_last.mul(&mask, ctx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Kinds;

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
            first_position: 0,
        };
        let bert = Bert::new(&config, &mut Init::seed(1)).unwrap();
        SentenceEncoder { bert, pooling: Pooling::Mean, normalize }
    }

    fn vectors(encoder: &SentenceEncoder, ids: &[i64], length: usize) -> Tensor {
        let ids = Tensor::from_vec(ids.to_vec(), [ids.len() / length, length]).unwrap();
        encoder.forward(&ids.into(), &mut Ctx::eval()).unwrap().into_value()
    }

    #[test]
    fn its_description_makes_it_again() {
        let encoder = SentenceEncoder { pooling: Pooling::LastToken, ..encoder(true) };
        let model: &dyn Model = &encoder;
        let text = model.description().unwrap();
        assert!(text.contains(r#""pooling":"last-token","normalize":true"#), "{text}");
        let again = Kinds::built_in().build(&text, &mut Init::absent()).unwrap();
        assert_eq!(again.description().unwrap(), text);
        assert_eq!(again.backbone(), (&encoder.bert as &dyn Model).architecture());
        assert_eq!(again.architecture(), None);
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

    #[test]
    fn every_pooling_is_that_of_the_tokens_vectors() {
        let ids = [3i64, 1, 4, 0, 7, 0, 2, 0];
        let shape = [2, 4];
        let base = encoder(false);
        let input = Var::from(Tensor::from_vec(ids.to_vec(), shape).unwrap());
        let hidden = base.bert.forward(&input, &mut Ctx::eval()).unwrap().into_value();
        let hidden = hidden.to_vec::<f32>().unwrap();
        let of = |row: usize, entry: usize| -> Vec<f32> {
            (0..4)
                .filter(|&at| ids[4 * row + at] != 0)
                .map(|at| hidden[(4 * row + at) * 12 + entry])
                .collect()
        };
        for pooling in [Pooling::Mean, Pooling::Cls, Pooling::LastToken, Pooling::Max] {
            let got = vectors(&SentenceEncoder { pooling, ..base.clone() }, &ids, 4);
            for (i, got) in got.to_vec::<f32>().unwrap().into_iter().enumerate() {
                let tokens = of(i / 12, i % 12);
                let want = match pooling {
                    Pooling::Mean => tokens.iter().sum::<f32>() / tokens.len() as f32,
                    Pooling::Cls => tokens[0],
                    Pooling::LastToken => tokens[tokens.len() - 1],
                    Pooling::Max => tokens.iter().copied().fold(f32::MIN, f32::max),
                };
                assert!((got - want).abs() < 1e-6, "{pooling:?} {i}: {got} for {want}");
            }
        }
    }
}
