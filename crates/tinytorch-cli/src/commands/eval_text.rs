//! `eval` of a language model on a plain text.

use crate::Verdict;
use crate::language::Language;
use crate::output::{Screen, progress_bar};
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use tinytorch::generate::{TextScore, score_text};
use tinytorch::text::utf8;

/// The stable form of `--json`.
#[derive(Serialize)]
struct Scores {
    perplexity: f64,
    loss: f64,
    tokens: usize,
    characters: usize,
    bytes: usize,
    perplexity_per_character: f64,
    perplexity_per_byte: f64,
    data: String,
    file: String,
}

/// Tells how well a language model foresees the text in `data`.
pub(super) fn run(
    file: &Path,
    tokenizer: Option<&Path>,
    data: &Path,
    json: bool,
    screen: &mut Screen,
) -> Result<Verdict> {
    let language = Language::open(file, tokenizer)?;
    let bytes = std::fs::read(data).with_context(|| format!("cannot read {}", data.display()))?;
    let text = utf8(&bytes, &data.display().to_string()).map_err(tinytorch::Error::from)?;
    let bar = progress_bar("scoring tokens", 0);
    let progress = |done: usize, tokens: usize| {
        bar.set_length(tokens as u64);
        bar.set_position(done as u64);
    };
    let score = score_text(language.decoder(file)?, &*language.tokenizer, text, progress)?;
    bar.finish_and_clear();
    let scores = Scores::of(&score, file, data);
    match json {
        true => screen.json(&scores)?,
        false => scores.print(screen)?,
    }
    Ok(Verdict::Good)
}

impl Scores {
    fn of(score: &TextScore, file: &Path, data: &Path) -> Scores {
        Scores {
            perplexity: score.perplexity(),
            loss: score.loss(),
            tokens: score.tokens,
            characters: score.characters,
            bytes: score.bytes,
            perplexity_per_character: score.perplexity_per_character(),
            perplexity_per_byte: score.perplexity_per_byte(),
            data: data.display().to_string(),
            file: file.display().to_string(),
        }
    }

    fn print(&self, screen: &mut Screen) -> Result<()> {
        let Scores { file, data, perplexity, loss, tokens, .. } = self;
        let (character, byte) = (self.perplexity_per_character, self.perplexity_per_byte);
        writeln!(
            screen,
            "{file}: perplexity {perplexity:.3} per token, {character:.3} per character, {byte:.3} per byte, loss {loss:.4} on {tokens} tokens of {data}"
        )?;
        Ok(())
    }
}
