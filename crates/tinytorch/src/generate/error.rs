//! What can go wrong when text is generated.

use crate::models::Decoder;
use crate::tensor::Shape;
use crate::text::Tokenizer;

/// What can go wrong when text is generated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// Nothing to continue.
    #[error("the prompt has no tokens; give a text to continue")]
    EmptyPrompt,
    /// More tokens than the model has positions for.
    #[error("the prompt has {tokens} tokens, and the model's context is {context}; shorten it")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of the model.
        context: usize,
    },
    /// A token that the model does not have.
    #[error(
        "token {id} at position {position} of the prompt is outside the model's vocabulary 0..{vocab}; use the tokenizer that the model was trained with"
    )]
    PromptId {
        /// The id.
        id: i64,
        /// Where it stands in the prompt.
        position: usize,
        /// Tokens of the model.
        vocab: usize,
    },
    /// A tokenizer with more tokens than the model.
    #[error(
        "the tokenizer has {tokenizer} tokens, and the model {model}; use the tokenizer that the model was trained with"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Tokens of the model.
        model: usize,
    },
    /// A temperature that makes no distribution.
    #[error(
        "the temperature is {temperature}, which must be positive and finite; for the likeliest token choose greedy"
    )]
    Temperature {
        /// The temperature.
        temperature: f32,
    },
    /// A top-k that leaves nothing to choose from.
    #[error("top-k is 0, which leaves no token to choose; it must be at least 1")]
    TopK,
    /// A top-p that is no probability, or leaves nothing to choose from.
    #[error("top-p is {top_p}, which must be above 0 and at most 1")]
    TopP {
        /// The probability.
        top_p: f32,
    },
    /// Scores that rank no token.
    #[error(
        "the model scores token {id} with {score}, so none can be chosen; check its weights for values that are not finite"
    )]
    Score {
        /// The token.
        id: usize,
        /// Its score.
        score: f32,
    },
    /// No score at all.
    #[error("the model scores no token; its vocabulary is empty")]
    NoScores,
    /// A text with nothing to foresee.
    #[error("the text has {tokens} tokens, which leaves none to foresee; give a longer one")]
    ShortText {
        /// Tokens of the text.
        tokens: usize,
    },
    /// Keys or values that a cache was not made for.
    #[error("keys of shape {keys} and values of shape {values} do not fit a cache for {expected}")]
    CacheShape {
        /// Shape of the keys.
        keys: Shape,
        /// Shape of the values.
        values: Shape,
        /// `[batch, kv_heads, new, head_dim]` with the cache's sizes.
        expected: String,
    },
    /// More positions than a cache has room for.
    #[error(
        "{new} positions after {positions} exceed the cache's capacity of {capacity}; make it as large as the model's context"
    )]
    CacheFull {
        /// Positions held.
        positions: usize,
        /// Positions to add.
        new: usize,
        /// Positions that there is room for.
        capacity: usize,
    },
}

impl crate::CustomError for GenerateError {}

impl GenerateError {
    /// Refuses a tokenizer whose tokens the model does not all have. It may have fewer: some models
    /// round the size of their vocabulary up.
    pub(super) fn check_vocabulary(
        tokenizer: &dyn Tokenizer,
        model: &dyn Decoder,
    ) -> Result<(), GenerateError> {
        let (tokenizer, model) = (tokenizer.vocab_size(), model.sizes().vocab);
        if tokenizer > model {
            return Err(GenerateError::Vocabulary { tokenizer, model });
        }
        Ok(())
    }
}
