//! `quantize`: a float model's weights become int8.

pub(crate) mod calibration;
pub(crate) mod destination;
pub(crate) mod ladder;
pub(crate) mod made;
pub(crate) mod outcome;
pub(crate) mod samples;
pub(crate) mod settings;
mod steps;

use crate::Verdict;
use crate::data::{Source, usual_config};
use crate::open::{is_onnx, open};
use crate::output::{Screen, bars};
use crate::overwrite::Paths;
use crate::share::Share;
use anyhow::Result;
use calibration::{Calibration, PICTURES};
use clap::Args;
use destination::Destination;
use ladder::{Budget, is_large};
use made::make;
use outcome::Outcome;
use samples::Samples;
use settings::Settings;
use std::io::Write;
use std::path::PathBuf;
use tinytorch::files::Loaded;
use tinytorch::quant::{Activations, QuantConfig};
use tinytorch_kernels::os::FreeAtOnce;

/// Turn a float model's weights into int8, and save the result beside it.
#[derive(Args)]
pub(crate) struct Quantize {
    /// The float model: tinytorch's own file, a folder with config.json, weights and tokenizer, a safetensors
    /// file with its config.json beside it, or a .bin file of llama2.c
    file: PathBuf,
    #[command(flatten)]
    calibration: Calibration,
    /// File to save the int8 model to, or a folder for it: then settings and tokenizer are copied into it. A
    /// folder becomes a folder, unless this ends in .safetensors; of an ONNX model also a file that ends in .onnx
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Largest error of the output, as a fraction or in percent: the fastest way within it is searched
    /// for, layer by layer, on the calibration data. The exit code is 1 if there is none, and nothing is saved
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["granularity", "wide"])]
    max_error: Option<Share>,
    /// Seconds that the search for layers may take; then the best is kept that was found until then
    #[arg(long, value_name = "SECONDS", requires = "max_error", value_parser = seconds)]
    search_seconds: Option<f64>,
    /// Save the best that was found even if it is not within --max-error
    #[arg(long, requires = "max_error")]
    best: bool,
    #[command(flatten)]
    settings: Settings,
    /// Replace the float model itself
    #[arg(long)]
    force: bool,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    seconds.ok_or_else(|| "a number of seconds is needed".to_string())
}

impl Quantize {
    pub(crate) fn paths(&self) -> Paths<'_> {
        let calibrate = self.calibration.calibrate.as_ref().and_then(Source::path);
        Paths::to(&*self.out).reading_model(&*self.file, self.force).reading(calibrate)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let freed = FreeAtOnce::new();
        let Loaded { mut model, mut provenance } = open(&self.file)?;
        // A search runs the model hundreds of times, and is not to fetch the memory of activations anew each time, unless the
        // weights are what takes memory.
        let _freed = (self.max_error.is_none() || is_large(&*model)).then_some(freed);
        let destination = Destination { of: Some(&self.file), out: &self.out };
        destination.check(&*model)?;
        let max_error = self.max_error.map(|Share(share)| share);
        // A state goes as far as its sequence takes it; other engines have fixed ranges only.
        let usual = match self.calibration.states.is_empty() || is_onnx(&self.out) {
            true => usual_config(&*model),
            false => QuantConfig::new(Activations::Dynamic),
        };
        let config = self.settings.config(usual, max_error.is_some());
        let config = destination.settings(config);
        let budgeted = max_error.is_some();
        let (samples, has_classes) = match self.calibration.sequence(&*model, &mut provenance)? {
            Some(sequence) => (Samples::Steps(sequence), false),
            None => {
                let calibration = &self.calibration;
                let of = (&*self.file, &*model, &config);
                let inputs = calibration.inputs(of.0, of.1, of.2, budgeted, &mut provenance)?;
                (Samples::Apart(inputs.0), inputs.1)
            }
        };
        if let (false, Some(told)) = (self.json, provenance.notes.get(PICTURES)) {
            writeln!(screen, "calibrated with {told}")?;
        }
        let mut tell = |line: &str| {
            if !self.json {
                // A screen that cannot be written to is told of when there is a result.
                let _ = writeln!(screen, "{line}");
            }
        };
        let seconds = self.search_seconds;
        let mut budget =
            max_error.map(|max_error| Budget { max_error, has_classes, seconds, tell: &mut tell });
        let of = (&samples, config, budget.as_mut());
        let made = make(&mut *model, of.0, of.1, of.2, &mut provenance, &mut bars())?;
        let is_saved = made.is_within() || self.best;
        if is_saved {
            destination.save(&*model, &provenance)?;
        }
        let outcome = Outcome::new(is_saved.then_some(&*self.out), &made);
        match self.json {
            true => screen.json(&outcome)?,
            false => outcome.print(screen)?,
        }
        Ok(if made.is_within() { Verdict::Good } else { Verdict::GateFailed })
    }
}
