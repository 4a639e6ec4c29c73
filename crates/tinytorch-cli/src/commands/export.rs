//! `export`: a model that came from ONNX becomes an ONNX file again, for other engines.

use crate::Verdict;
use crate::open::{is_onnx, open};
use crate::output::Screen;
use crate::overwrite::Paths;
use crate::problem::Problem;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::files::{Loaded, Provenance, check_writable, replace};
use tinytorch::models::Model;
use tinytorch_onnx::{Exported, Form, OnnxModel};

/// Write a model as an ONNX file, for ONNX Runtime, OpenVINO and others.
///
/// Weights are int8 in the file, and what has a range from calibration passes through `QuantizeLinear` and `DequantizeLinear`.
#[derive(Args)]
pub(crate) struct Export {
    /// The model's file, as `quantize` has saved it
    file: PathBuf,
    /// File to write, whose name ends in .onnx
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the file says that layers multiply integers: `qdq` by pairs of QuantizeLinear and DequantizeLinear, `qoperator` by
    /// QLinearConv, QGemm and others, which ONNX Runtime runs as they are
    #[arg(long, value_enum, default_value = "qdq")]
    form: Words,
    /// Print JSON instead of sentences
    #[arg(long)]
    json: bool,
}

/// The words for a file's form.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Words {
    #[value(name = "qdq")]
    Qdq,
    #[value(name = "qoperator")]
    QOperator,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome {
    file: String,
    bytes: usize,
    int8: Vec<String>,
    weights_only: Vec<String>,
    floats: Vec<String>,
}

/// Writes a model to an ONNX file, with where it comes from beside its graph.
///
/// # Errors
/// A sentence that names a step that ONNX's operators are not written for, or what the file system says.
pub(crate) fn export(
    out: &Path,
    model: &dyn Model,
    provenance: &Provenance,
    form: Form,
) -> Result<Exported> {
    let graph = model.as_any().and_then(|model| model.downcast_ref::<OnnxModel>());
    let graph = match graph {
        Some(graph) => graph.clone(),
        None => OnnxModel::of(model)?,
    };
    let exported = graph.with_metadata(provenance.to_entries()?).to_onnx_as(form)?;
    replace(out, |file| file.write_all(&exported.bytes))?;
    Ok(exported)
}

impl Export {
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths::to(&*self.out).reading(&*self.file)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        if !is_onnx(&self.out) {
            return Err(Problem::NotExported { path: self.out }.into());
        }
        check_writable(&self.out)?;
        let Loaded { model, provenance } = open(&self.file)?;
        let form = match self.form {
            Words::Qdq => Form::Qdq,
            Words::QOperator => Form::QOperator,
        };
        let Exported { bytes, int8, weights_only, floats } =
            export(&self.out, &*model, &provenance, form)?;
        let (file, bytes) = (self.out.display().to_string(), bytes.len());
        if self.json {
            screen.json(&Outcome { file, bytes, int8, weights_only, floats })?;
            return Ok(Verdict::Good);
        }
        writeln!(screen, "{} weights in int8 with quantized inputs", int8.len())?;
        if !weights_only.is_empty() {
            let names = weights_only.join(", ");
            writeln!(
                screen,
                "int8, but multiply floats, as their inputs have no fixed range: {names}"
            )?;
        }
        if !floats.is_empty() {
            let names = floats.join(", ");
            writeln!(screen, "floats in the file, as their scales come in blocks: {names}")?;
        }
        writeln!(screen, "{bytes} bytes, saved to {file}")?;
        Ok(Verdict::Good)
    }
}
