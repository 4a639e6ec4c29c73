//! `embed`: text to vectors.

use crate::Verdict;
use crate::data::usual_config;
use crate::output::{Screen, progress_bar};
use crate::overwrite::Paths;
use crate::problem::Problem;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::data::write_npy;
use tinytorch::files::{Embedder, FileError, check_writable};
use tinytorch::quant::quantize_model;

/// Sentences per pass; the result does not depend on it.
const BATCH: usize = 32;

/// Turn sentences into vectors with a sentence encoder, such as all-MiniLM-L6-v2.
#[derive(Args)]
pub(crate) struct Embed {
    /// The model's folder: config.json, model.safetensors, tokenizer.json
    folder: PathBuf,
    /// Text in UTF-8, one sentence on each line
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File for the vectors, as .npy: one row for each line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Quantize the model to int8 first, in memory
    #[arg(long)]
    int8: bool,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome {
    file: String,
    sentences: usize,
    dim: usize,
    int8: bool,
}

impl Embed {
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths::to(&self.out).reading(&*self.folder).reading(&*self.input)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let text = read(&self.input)?;
        let sentences = sentences(&self.input, &text)?;
        let mut embedder = Embedder::load(&self.folder)?;
        check_writable(&self.out)?;
        if self.int8 {
            let config = usual_config(&embedder.encoder.bert).knowingly();
            let calibration: [tinytorch::Result<Var>; 0] = [];
            quantize_model(&mut embedder.encoder, calibration, &config)?;
        }
        let bar = progress_bar("embedding", sentences.len().div_ceil(BATCH));
        let vectors = bar.wrap_iter(sentences.chunks(BATCH)).map(|batch| embedder.embed(batch));
        let vectors = Tensor::cat::<f32>(&vectors.collect::<tinytorch::Result<Vec<_>>>()?, 0)?;
        write_npy(&self.out, &vectors)?;
        let outcome = Outcome {
            file: self.out.display().to_string(),
            sentences: sentences.len(),
            dim: vectors.shape().last_dim(),
            int8: self.int8,
        };
        match self.json {
            true => screen.json(&outcome)?,
            false => outcome.print(screen)?,
        }
        Ok(Verdict::Good)
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path)
        .map_err(|source| tinytorch::Error::from(FileError::Read { path: path.into(), source }))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        Problem::NotUtf8 { path: path.to_path_buf(), line }.into()
    })
}

fn sentences<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, Problem> {
    let sentences: Vec<&str> = text.lines().collect();
    if sentences.is_empty() {
        return Err(Problem::NoText { path: path.to_path_buf() });
    }
    match sentences.iter().position(|sentence| sentence.trim().is_empty()) {
        Some(at) => Err(Problem::EmptyLine { path: path.to_path_buf(), line: at + 1 }),
        None => Ok(sentences),
    }
}

impl Outcome {
    fn print(&self, screen: &mut Screen) -> Result<()> {
        let Outcome { file, sentences, dim, int8 } = self;
        let with = if *int8 { "int8" } else { "float" };
        writeln!(
            screen,
            "{file}: {sentences} sentences as f32 [{sentences}, {dim}], {with} model"
        )?;
        Ok(())
    }
}
