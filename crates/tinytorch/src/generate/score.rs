//! How well a model foresees a text.

use super::GenerateError;
use crate::Result;
use crate::autograd::Ctx;
use crate::models::Decoder;
use crate::tensor::Tensor;
use crate::text::Tokenizer;

/// How well a language model foresees a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextScore {
    /// Tokens that were foreseen: all but the first.
    pub tokens: usize,
    /// Characters of the text.
    pub characters: usize,
    /// Bytes of the text as UTF-8.
    pub bytes: usize,
    /// Minus the logarithm of the probability of all these tokens, in nats.
    pub total: f64,
}

impl TextScore {
    /// Mean cross-entropy of a token, in nats.
    pub fn loss(&self) -> f64 {
        self.total / self.tokens as f64
    }

    /// `exp(loss)`: among how many equally likely tokens the model would be as unsure.
    pub fn perplexity(&self) -> f64 {
        self.loss().exp()
    }

    /// The same for a character, which models with different tokens can be compared by.
    pub fn perplexity_per_character(&self) -> f64 {
        (self.total / self.characters as f64).exp()
    }

    /// The same for a byte.
    pub fn perplexity_per_byte(&self) -> f64 {
        (self.total / self.bytes as f64).exp()
    }
}

/// Scores a text in windows that fill the model's context and lie side by side: each token is foreseen
/// once, from those before it in its window. `progress` is told after each window how many of how many
/// tokens are done.
///
/// ```
/// use tinytorch::{data::tinytalks, generate::score_text, models::Architecture, nn::Init};
/// let model = Architecture::preset("talks-gpt")?.build(&mut Init::seed(0))?;
/// let (talks, decoder) = (tinytalks(), model.as_decoder().expect("a GPT is a decoder"));
/// let score = score_text(decoder, &talks.tokenizer()?, &talks.test[..500], |_, _| ())?;
/// assert_eq!((score.tokens, score.characters), (499, 500));
/// // Before training all of the 69 characters are about as likely.
/// assert!((score.perplexity() / 69.0 - 1.0).abs() < 0.2);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`GenerateError::ShortText`] for a text without a token to foresee, [`GenerateError::Vocabulary`]
/// for a tokenizer with more tokens than the model, or what a pass reports.
pub fn score_text(
    model: &dyn Decoder,
    tokenizer: &dyn Tokenizer,
    text: &str,
    mut progress: impl FnMut(usize, usize),
) -> Result<TextScore> {
    GenerateError::check_vocabulary(tokenizer, model)?;
    let ids = tokenizer.encode(text)?;
    let tokens = ids.len().saturating_sub(1);
    if tokens == 0 || text.is_empty() {
        return Err(GenerateError::ShortText { tokens: ids.len() }.into());
    }
    let (mut total, mut done, mut ctx) = (0.0, 0, Ctx::eval());
    for window in ids[..tokens].chunks(model.sizes().context) {
        let len = window.len();
        let inputs = Tensor::from_vec(window.to_vec(), [1, len])?.into();
        let labels = Tensor::from_vec(ids[done + 1..][..len].to_vec(), [1, len])?;
        let scores = model.call(&inputs, &mut ctx)?;
        let loss = scores.cross_entropy(&labels, &mut ctx)?;
        total += f64::from(loss.value().item()?) * len as f64;
        done += len;
        progress(done, tokens);
    }
    Ok(TextScore { tokens, characters: text.chars().count(), bytes: text.len(), total })
}
