//! The command `eval`.

use super::{eval_pairs, eval_text};
use crate::Verdict;
use crate::data::{Judging, Part, Source, check_examples};
use crate::language::own_tokenizer;
use crate::open::{has_extension, open};
use crate::output::{Screen, progress_bar};
use crate::sentences::is_text;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use tinytorch::audit::Task;
use tinytorch::autograd::Ctx;
use tinytorch::data::{Batch, DataLoader, Labels};
use tinytorch::files::{Embedder, Loaded};
use tinytorch::models::Model;
use tinytorch::train::{Classification, Objective, evaluate};

/// Samples per pass; the result does not depend on it.
const BATCH: usize = 64;

/// Measure how well a model does on data that it has not learned from: its accuracy, the perplexity
/// of a language model, and of a sentence encoder how its cosines rank pairs of sentences.
#[derive(Args)]
pub(crate) struct Eval {
    /// A model's file or folder, float or int8
    file: PathBuf,
    /// Folder or file to judge by, or `digits` or `tinytalks`, which are embedded; a .txt file for a
    /// language model, and for a sentence encoder a .txt or .tsv with two sentences on each line, a tab between
    /// them, and behind another tab how alike they are
    #[arg(long, value_name = "PATH|digits|tinytalks")]
    data: Source,
    /// Which column of a .csv holds the labels, where its names or values do not tell
    #[arg(long, value_name = "first|last|NAME")]
    labels: Option<Labels>,
    /// A language model's tokenizer, for a .txt file, as for `generate`
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Scores {
    accuracy: Option<f64>,
    /// Of a language model, per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    loss: f64,
    samples: usize,
    part: Part,
    data: String,
    file: String,
}

impl Eval {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        if let Some(data) = self.data.path()
            && (is_text(data) || has_extension(data, "tsv"))
        {
            if Embedder::is_in(&self.file) {
                return eval_pairs::run(&self.file, data, self.json, screen);
            }
            let tokenizer = self.tokenizer.as_deref();
            return eval_text::run(&self.file, tokenizer, data, self.json, screen);
        }
        let loaded = open(&self.file)?;
        let data = self.data.clone().with_labels(self.labels.as_ref());
        let Loaded { model, provenance } = &loaded;
        let own = match data.is_text() {
            true => own_tokenizer(&self.file, &**model, provenance)?,
            false => None,
        };
        let Judging { name, samples, part } =
            data.to_judge(&**model, &[provenance], own.as_deref())?;
        check_examples(&samples, &name, &*loaded.model)?;
        let task = Task::of(&samples);
        let loader = DataLoader::new(samples, BATCH)?;
        let bar = progress_bar("evaluating", loader.len());
        #[allow(clippy::borrowed_box, reason = "a model without a size cannot be evaluated")]
        let counted = |model: &Box<dyn Model>, batch: &Batch, ctx: &mut Ctx<'_>| {
            bar.inc(1);
            Classification.outcome(model, batch, ctx)
        };
        let metrics = evaluate(&loaded.model, &counted, &loader)?;
        bar.finish_and_clear();
        let scores = Scores {
            accuracy: metrics.accuracy,
            perplexity: (task == Task::LanguageModel).then(|| metrics.loss.exp()),
            loss: metrics.loss,
            samples: metrics.samples,
            part,
            data: name,
            file: self.file.display().to_string(),
        };
        match self.json {
            true => screen.json(&scores)?,
            false => scores.print(screen)?,
        }
        Ok(Verdict::Good)
    }
}

impl Scores {
    fn print(&self, screen: &mut Screen) -> Result<()> {
        let Scores { accuracy, perplexity, loss, samples, part, data, file } = self;
        let perplexity = perplexity.map(|p| format!("perplexity {p:.3} per token, "));
        let accuracy = accuracy.unwrap_or(f64::NAN) * 100.0;
        let which = match part {
            Part::Test => "test samples",
            Part::HeldOut => "held-out samples",
            Part::All => "samples",
        };
        writeln!(
            screen,
            "{file}: {}accuracy {accuracy:.2} %, loss {loss:.4} on {samples} {which} of {data}",
            perplexity.unwrap_or_default()
        )?;
        Ok(())
    }
}
