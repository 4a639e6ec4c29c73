//! `run`: a model answers.

use super::onnx;
use crate::Verdict;
use crate::data::{check_inputs, load_inputs};
use crate::output::{Screen, progress_bar};
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::write_npy;
use tinytorch::files::{check_writable, open_model};
use tinytorch::nn::Forward;

/// Samples per pass; the result does not depend on it.
const BATCH: usize = 64;

/// Run a model on inputs without labels, and save what it answers.
#[derive(Args)]
pub(crate) struct Run {
    /// A model's file, float or int8, or an ONNX model
    file: PathBuf,
    /// Inputs as .npy, .npz or .csv, the first axis counting the samples; bytes are scaled to 0..1, and
    /// token ids are an .npy of 64-bit integers; for an ONNX model .npy, or .npz with an array under the name of
    /// each input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File for the outputs, as .npy; for an ONNX model .npz too, by name
    #[arg(long, alias = "output", value_name = "FILE")]
    out: PathBuf,
}

impl Run {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        if onnx::is_onnx(&self.file) {
            return onnx::run(&self.file, &self.input, &self.out, screen);
        }
        let model = open_model(&self.file)?.model;
        check_writable(&self.out)?;
        let inputs = load_inputs(&self.input, &*model, usize::MAX, 0)?;
        check_inputs(&inputs, &self.input.display().to_string(), &*model)?;
        let n = inputs.shape()[0];
        let mut outputs = Vec::with_capacity(n.div_ceil(BATCH));
        let bar = progress_bar("running", n.div_ceil(BATCH));
        for start in bar.wrap_iter((0..n).step_by(BATCH)) {
            let batch = Var::from(inputs.slice(0, start..n.min(start + BATCH))?);
            outputs.push(model.call(&batch, &mut Ctx::eval())?.into_value());
        }
        let outputs = Tensor::cat::<f32>(&outputs, 0)?;
        write_npy(&self.out, &outputs)?;
        writeln!(screen, "{}: f32 {}", self.out.display(), outputs.shape())?;
        Ok(Verdict::Good)
    }
}
