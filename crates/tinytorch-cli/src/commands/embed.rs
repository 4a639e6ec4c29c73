//! `embed`: text to vectors.

use crate::Verdict;
use crate::data::usual_config;
use crate::output::{Progress, Screen, bars};
use crate::overwrite::Paths;
use crate::sentences::{read, sentences};
use crate::standard;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::files::Embedder;
use tinytorch::nn::Module;
use tinytorch::quant::quantize_model;

/// Sentences per pass; the result does not depend on it.
const BATCH: usize = 32;

/// Turn sentences into vectors with a sentence encoder, such as all-MiniLM-L6-v2.
#[derive(Args)]
pub(crate) struct Embed {
    /// The model's folder, float or int8: config.json, model.safetensors, tokenizer.json
    folder: PathBuf,
    /// Text in UTF-8, one sentence on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File for the vectors, as .npy: one row for each line; - is standard output
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
        Paths::to(&*self.out).reading(&*self.folder).reading(&*self.input)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let text = read(&self.input)?;
        let sentences = sentences(&self.input, &text)?;
        let embedder = load(&self.folder, self.int8)?;
        standard::check_output(&self.out)?;
        let vectors = vectors(&embedder, &sentences, &mut bars())?;
        let outcome = Outcome {
            file: self.out.display().to_string(),
            sentences: sentences.len(),
            dim: vectors.shape().last_dim(),
            int8: holds_int8(&embedder),
        };
        standard::write_array(&self.out, &vectors, screen, |screen| match self.json {
            true => screen.json(&outcome),
            false => outcome.print(screen),
        })?;
        Ok(Verdict::Good)
    }
}

/// The encoder in a folder, its weights in int8 if that is asked for.
pub(crate) fn load(folder: &Path, int8: bool) -> Result<Embedder> {
    let mut embedder = Embedder::load(folder)?;
    if int8 && !holds_int8(&embedder) {
        let config = usual_config(&embedder.encoder.bert).knowingly();
        let calibration: [tinytorch::Result<Var>; 0] = [];
        quantize_model(&mut embedder.encoder, calibration, &config)?;
    }
    Ok(embedder)
}

fn holds_int8(embedder: &Embedder) -> bool {
    embedder.encoder.named_params().iter().any(|(_, param)| param.int8().is_some())
}

/// A row for each sentence, of which there is one at least.
pub(crate) fn vectors<S: AsRef<str>>(
    embedder: &Embedder,
    sentences: &[S],
    progress: &mut Progress<'_>,
) -> Result<Tensor> {
    let batches = sentences.chunks(BATCH);
    let count = batches.len();
    let mut vectors = Vec::with_capacity(count);
    for (done, batch) in batches.enumerate() {
        progress("embedding", done, count);
        vectors.push(embedder.embed(batch)?);
    }
    progress("embedding", count, count);
    Ok(Tensor::cat::<f32>(&vectors, 0)?)
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
