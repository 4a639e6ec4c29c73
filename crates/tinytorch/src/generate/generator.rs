//! A model, its cache and a sampler, token by token.

use super::{CacheKind, GenerateError, Sampler};
use crate::Result;
use crate::autograd::Ctx;
use crate::models::Decoder;
use crate::nn::KeyValueCache;
use crate::tensor::Tensor;
use crate::text::{TextStream, Tokenizer};
use std::time::{Duration, Instant};

/// How a text is generated, beside the choice of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest number of tokens to generate.
    pub steps: usize,
    /// Tokens that end the text, without being part of it.
    pub ends: Vec<i64>,
    /// How keys and values are kept from step to step; without, each step computes every position
    /// again.
    pub cache: Option<CacheKind>,
}

/// Why a text has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// As many tokens as were asked for.
    Steps,
    /// The model chose a token that ends the text.
    End,
    /// The model has no position left for another token.
    Context,
    /// A step failed, and its error was given out.
    Failed,
}

/// Generates tokens one by one: an iterator over their ids.
///
/// The prompt is computed in one pass, each token after it in one of its own. The text ends at the
/// latest when the model's context is full: prompt and generated tokens but the last fill it, and
/// earlier ones are not dropped to make room. After an error the iterator has ended.
///
/// ```
/// use tinytorch::generate::{CacheKind, Generator, Limits, Sampler};
/// use tinytorch::{models::Architecture, nn::Init};
///
/// let model = Architecture::preset("talks-gpt")?.build(&mut Init::seed(0))?;
/// let decoder = model.as_decoder().expect("a GPT is a decoder");
/// let limits = Limits { steps: 5, ends: vec![], cache: Some(CacheKind::F32) };
/// let mut generator = Generator::new(decoder, &[1, 2, 3], Sampler::greedy(), limits)?;
/// let ids = generator.by_ref().collect::<tinytorch::Result<Vec<i64>>>()?;
/// assert_eq!(ids.len(), 5);
/// assert_eq!(generator.ids()[..3], [1, 2, 3]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub struct Generator<'m> {
    model: &'m dyn Decoder,
    sampler: Sampler,
    limits: Limits,
    ctx: Ctx<'static>,
    caches: Vec<Box<dyn KeyValueCache>>,
    /// The prompt and what was generated.
    ids: Vec<i64>,
    /// How many of them the caches hold.
    held: usize,
    generated: usize,
    finish: Option<Finish>,
}

impl<'m> Generator<'m> {
    /// A generator that continues `prompt`.
    ///
    /// # Errors
    /// [`GenerateError::EmptyPrompt`], [`GenerateError::PromptTooLong`] or
    /// [`GenerateError::PromptId`] for a prompt that the model cannot continue,
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for a cache that cannot be.
    pub fn new(
        model: &'m dyn Decoder,
        prompt: &[i64],
        sampler: Sampler,
        limits: Limits,
    ) -> Result<Generator<'m>> {
        let sizes = model.sizes();
        let (tokens, context, vocab) = (prompt.len(), sizes.context, sizes.vocab);
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt.into());
        }
        if tokens > context {
            return Err(GenerateError::PromptTooLong { tokens, context }.into());
        }
        let outside = |&id: &i64| !usize::try_from(id).is_ok_and(|id| id < vocab);
        if let Some(position) = prompt.iter().position(outside) {
            return Err(GenerateError::PromptId { id: prompt[position], position, vocab }.into());
        }
        let capacity = context.min(tokens.saturating_add(limits.steps));
        let caches = match limits.cache {
            Some(kind) => kind.caches(sizes, 1, capacity)?,
            None => Vec::new(),
        };
        Ok(Generator {
            model,
            sampler,
            ctx: Ctx::eval(),
            caches,
            ids: prompt.to_vec(),
            held: 0,
            generated: 0,
            finish: (limits.steps == 0).then_some(Finish::Steps),
            limits,
        })
    }

    /// The prompt's ids and those generated so far.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// Why the text has ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The scores of all tokens as the one after the last, by the model.
    fn scores(&mut self) -> Result<Tensor> {
        let new = &self.ids[self.held..];
        let ids = Tensor::from_vec(new.to_vec(), [1, new.len()])?.into();
        let scores = match self.limits.cache {
            Some(_) => {
                let scores = self.model.forward_cached(&ids, &mut self.caches, &mut self.ctx)?;
                self.held = self.ids.len();
                scores
            }
            None => self.model.call(&ids, &mut self.ctx)?,
        };
        scores.value().select(0, 0)?.select(0, ids.shape()[1] - 1)
    }

    fn step(&mut self) -> Result<Option<i64>> {
        if self.ids.len() > self.model.sizes().context {
            self.finish = Some(Finish::Context);
            return Ok(None);
        }
        let scores = self.scores()?.contiguous()?;
        let id = self.sampler.choose(scores.as_slice()?)?;
        if self.limits.ends.contains(&id) {
            self.finish = Some(Finish::End);
            return Ok(None);
        }
        self.ids.push(id);
        self.generated += 1;
        if self.generated == self.limits.steps {
            self.finish = Some(Finish::Steps);
        }
        Ok(Some(id))
    }
}

impl Iterator for Generator<'_> {
    type Item = Result<i64>;

    fn next(&mut self) -> Option<Result<i64>> {
        if self.finish.is_some() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.finish = Some(Finish::Failed);
        }
        step.transpose()
    }
}

/// A text that was generated.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The prompt and its continuation.
    pub text: String,
    /// The ids of both.
    pub ids: Vec<i64>,
    /// How many of the ids are the prompt's.
    pub prompt: usize,
    /// Why the text has ended.
    pub finish: Finish,
    /// The time to the first token: the pass over the prompt.
    pub first: Duration,
    /// The time of all steps after it.
    pub rest: Duration,
}

impl Generated {
    /// Tokens in a second, after the first one.
    pub fn tokens_per_second(&self) -> f64 {
        let steps = (self.ids.len() - self.prompt).saturating_sub(1);
        if steps == 0 { 0.0 } else { steps as f64 / self.rest.as_secs_f64() }
    }
}

/// Continues the text `prompt`, and shows each piece, the prompt first, as soon as its characters are
/// complete. What `show` reports ends the text.
///
/// # Errors
/// [`GenerateError::Vocabulary`] for a tokenizer with more tokens than the model, as
/// [`Generator::new`], and what a step or `show` reports.
pub fn generate(
    model: &dyn Decoder,
    tokenizer: &dyn Tokenizer,
    prompt: &str,
    sampler: Sampler,
    limits: Limits,
    mut show: impl FnMut(&str) -> Result<()>,
) -> Result<Generated> {
    GenerateError::check_vocabulary(tokenizer, model)?;
    let prompt = tokenizer.encode(prompt)?;
    let mut generator = Generator::new(model, &prompt, sampler, limits)?;
    let (mut text, mut stream) = (String::new(), TextStream::new(tokenizer, &[]));
    let mut add = |piece: &str| {
        if !piece.is_empty() {
            text.push_str(piece);
            show(piece)?;
        }
        Ok::<(), crate::Error>(())
    };
    for &id in &prompt {
        add(&stream.push(id)?)?;
    }
    let started = Instant::now();
    let mut first = None;
    for id in generator.by_ref() {
        first.get_or_insert_with(|| started.elapsed());
        add(&stream.push(id?)?)?;
    }
    let (total, first) = (started.elapsed(), first.unwrap_or_default());
    add(&stream.finish())?;
    let finish = generator.finish.unwrap_or(Finish::Steps);
    let (ids, prompt, rest) = (generator.ids, prompt.len(), total - first);
    Ok(Generated { text, ids, prompt, finish, first, rest })
}
