//! `generate`: a text goes on.

use crate::Verdict;
use crate::language::{Language, quantize};
use crate::output::Screen;
use crate::problem::Problem;
use crate::sentences;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::generate::{CacheKind, Finish, Generated, Limits, Sampler, Sampling, generate};

/// Continue a text with a language model.
///
/// The text appears as it is generated. It ends after --steps tokens, at a token that ends texts, or
/// when the model's context is full.
#[derive(Args)]
pub(crate) struct Generate {
    /// A language model: tinytorch's own file, float or int8; a safetensors file with its config.json
    /// beside it, or their folder; a .bin file of llama2.c
    pub(crate) file: PathBuf,
    /// A tokenizer.json or a llama2.c tokenizer; by default the one that the model's file carries, or
    /// that lies beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Text to continue, or - for that of standard input; by default a text begins anew, if the tokenizer has a
    /// token for that
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Largest number of tokens to generate
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) steps: usize,
    /// Always take the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "seed"])]
    pub(crate) greedy: bool,
    /// Divides the scores: below 1 likely tokens become likelier
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) temperature: f32,
    /// Choose among so many of the likeliest tokens
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Choose among the likeliest tokens that reach this probability together
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Seed of the choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How keys and values are kept from token to token
    #[arg(long, value_enum, default_value_t = Cache::F32)]
    pub(crate) cache: Cache,
    /// Turn the weights into int8 first
    #[arg(long)]
    pub(crate) int8: bool,
    /// Print JSON when all is done instead of the text as it comes
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    F32,
    Int8,
    None,
}

impl Cache {
    pub(crate) fn kind(self) -> Option<CacheKind> {
        match self {
            Cache::F32 => Some(CacheKind::F32),
            Cache::Int8 => Some(CacheKind::Int8),
            Cache::None => None,
        }
    }
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome<'a> {
    file: String,
    text: &'a str,
    ids: &'a [i64],
    prompt_tokens: usize,
    tokens: usize,
    finish: Finish,
    cache: Cache,
    first_token_seconds: f64,
    tokens_per_second: f64,
}

impl Generate {
    pub(crate) fn run(mut self, screen: &mut Screen) -> Result<Verdict> {
        if self.prompt.as_deref() == Some("-") {
            let text = sentences::read(Path::new("-"))?;
            // The end of a line belongs to the stream, not to the prompt.
            self.prompt = Some(text.strip_suffix('\n').unwrap_or(&text).to_string());
        }
        let mut shown = Ok(());
        let made = self.continued(|piece| {
            if !self.json && shown.is_ok() {
                shown = screen.write_all(piece.as_bytes()).and_then(|()| screen.flush());
            }
            Ok(())
        })?;
        shown?;
        match self.json {
            true => screen.json(&self.outcome(&made))?,
            false => finish(&made, screen)?,
        }
        Ok(Verdict::Good)
    }

    /// The text and what follows it, of which `show` is told as it comes.
    pub(crate) fn continued(
        &self,
        show: impl FnMut(&str) -> tinytorch::Result<()>,
    ) -> Result<Generated> {
        let sampler = self.sampler()?;
        if self.prompt.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::EmptyPrompt.into());
        }
        let mut language = Language::open(&self.file, self.tokenizer.as_deref())?;
        if self.int8 {
            quantize(&mut *language.model)?;
        }
        let tokenizer = &*language.tokenizer;
        let prompt = self.prompt.as_deref().unwrap_or_default();
        if prompt.is_empty() && tokenizer.encode("")?.is_empty() {
            return Err(Problem::NoBegin { path: self.file.clone() }.into());
        }
        let ends = language.ends.clone();
        let limits = Limits { steps: self.steps, ends, cache: self.cache.kind() };
        let decoder = language.decoder(&self.file)?;
        Ok(generate(decoder, tokenizer, prompt, sampler, limits, show)?)
    }

    fn sampler(&self) -> Result<Sampler> {
        let Generate { temperature, top_k, top_p, seed, .. } = *self;
        Ok(match self.greedy {
            true => Sampler::greedy(),
            false => Sampler::new(Sampling { temperature, top_k, top_p, seed })
                .map_err(tinytorch::Error::from)?,
        })
    }

    fn outcome<'a>(&self, made: &'a Generated) -> Outcome<'a> {
        Outcome {
            file: self.file.display().to_string(),
            text: &made.text,
            ids: &made.ids,
            prompt_tokens: made.prompt,
            tokens: made.ids.len() - made.prompt,
            finish: made.finish,
            cache: self.cache,
            first_token_seconds: made.first.as_secs_f64(),
            tokens_per_second: made.tokens_per_second(),
        }
    }
}

/// Ends the line, unless the text has. The rate goes where it is in nobody's way.
fn finish(made: &Generated, screen: &mut Screen) -> Result<()> {
    if !made.text.ends_with('\n') {
        writeln!(screen)?;
    }
    screen.flush()?;
    let (tokens, rate) = (made.ids.len() - made.prompt, made.tokens_per_second());
    let end = match made.finish {
        Finish::Context => ", the context is full",
        Finish::End => ", the text has ended",
        Finish::Steps | Finish::Failed => "",
    };
    let first = made.first.as_secs_f64() * 1e3;
    // Nobody is left to tell if stderr cannot be written.
    let _ = writeln!(
        std::io::stderr(),
        "{tokens} tokens{end}: the first after {first:.1} ms, then {rate:.0} tokens/s"
    );
    Ok(())
}
