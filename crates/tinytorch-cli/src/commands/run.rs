//! `run`: a model answers.

use super::onnx;
use crate::Verdict;
use crate::arrays::Arrays;
use crate::data::{check_inputs, load_inputs};
use crate::feedback::States;
use crate::open::{is_onnx, open};
use crate::output::{Screen, progress_bar, warn_of_not_finite};
use crate::overwrite::Paths;
use crate::pictures::{self, Pictures};
use crate::scale;
use crate::standard::{self, Input};
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::Labels;
use tinytorch::files::Loaded;
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
    /// each input; - is standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Which column of a .csv holds labels and is left out, where its names, values or number of columns do
    /// not tell
    #[arg(long, value_name = "first|last|NAME|none")]
    labels: Option<Labels>,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    states: States,
    /// File for the outputs, as .npy; for an ONNX model .npz too, by name; - is standard output, for models that
    /// are not ONNX's
    #[arg(long, alias = "output", value_name = "FILE")]
    out: PathBuf,
}

impl Run {
    pub(crate) fn paths(&self) -> Paths<'_> {
        Paths::to(&*self.out).reading(&*self.file).reading(&*self.input)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let input = Input::of_data(&self.input)?;
        let input = input.path();
        // Arrays without a word of how they become numbers are taken in any type that the model has.
        if is_onnx(&self.file)
            && self.pictures.is_empty()
            && self.states.is_empty()
            && !pictures::are_at(input)
        {
            return onnx::run(&self.file, input, &self.out, screen);
        }
        let Loaded { model, provenance } = open(&self.file)?;
        if Arrays::are_in(input, &*model) {
            let pictures = self.pictures.or_noted(&provenance);
            let states = self.states.or_noted(&provenance);
            return onnx::run_named(&*model, input, (&pictures, &states), &self.out, screen);
        }
        standard::check_output(&self.out)?;
        let labels = self.labels.unwrap_or_default();
        let inputs = load_inputs(input, &labels, &*model, usize::MAX, 0)?;
        let data = self.input.display().to_string();
        check_inputs(&inputs, &data, &*model)?;
        scale::check(&inputs, &data, &provenance)?;
        let n = inputs.shape()[0];
        let mut outputs = Vec::with_capacity(n.div_ceil(BATCH));
        let bar = progress_bar("running", n.div_ceil(BATCH));
        for start in bar.wrap_iter((0..n).step_by(BATCH)) {
            let batch = Var::from(inputs.slice(0, start..n.min(start + BATCH))?);
            outputs.push(model.call(&batch, &mut Ctx::eval())?.into_value());
        }
        let outputs = Tensor::cat::<f32>(&outputs, 0)?;
        warn_of_not_finite("", &outputs)?;
        standard::write_array(&self.out, &outputs, screen, |screen| {
            Ok(writeln!(screen, "{}: f32 {}", self.out.display(), outputs.shape())?)
        })?;
        Ok(Verdict::Good)
    }
}
