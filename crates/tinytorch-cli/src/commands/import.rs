//! `import`: a file of another program becomes one of ours.

use crate::Verdict;
use crate::open::{is_onnx, open};
use crate::output::Screen;
use crate::overwrite::Paths;
use crate::problem::Problem;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use tinytorch::files::{Loaded, check_writable, import_model, save_model};
use tinytorch::models::Architecture;
use tinytorch::nn::Module;

/// Read a float model that another program has saved, and save it so that every command knows what it
/// is.
#[derive(Args)]
pub(crate) struct Import {
    /// A safetensors file of floats, or an ONNX model
    file: PathBuf,
    /// What a safetensors file holds the weights of: one of the models that `train` can make
    #[arg(long, value_name = "NAME", value_parser = Architecture::preset)]
    architecture: Option<Architecture>,
    /// File to save the model to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome {
    file: String,
    parameters: usize,
    imported_from: String,
}

impl Import {
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths::to(&*self.out).reading(&*self.file)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        check_writable(&self.out)?;
        let Loaded { model, mut provenance } = match (&self.architecture, is_onnx(&self.file)) {
            (None, true) => open(&self.file)?,
            (Some(architecture), false) => import_model(&self.file, architecture)?,
            (_, is_onnx) => return Err(Problem::Architecture { is_onnx }.into()),
        };
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        let imported_from = name.to_string_lossy().into_owned();
        provenance.notes.insert("imported_from".to_string(), imported_from.clone());
        save_model(&self.out, &*model, &provenance)?;
        let (parameters, file) = (model.param_count(), self.out.display().to_string());
        match self.json {
            true => screen.json(&Outcome { file, parameters, imported_from })?,
            false => writeln!(
                screen,
                "{parameters} parameters, every tensor in its place; saved to {file}"
            )?,
        }
        Ok(Verdict::Good)
    }
}
