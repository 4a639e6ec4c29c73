//! What quantizing has done, as JSON and as text.

use super::ladder::Climbed;
use super::made::Made;
use crate::output::Screen;
use crate::table::Table;
use anyhow::Result;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use tinytorch::int8::Granularity;
use tinytorch::quant::{Equalization, QuantConfig};

/// The stable form of `--json`.
#[derive(Serialize)]
pub(crate) struct Outcome<'a> {
    file: Option<String>,
    weights: Vec<WeightRow<'a>>,
    skipped: Vec<Skipped<'a>>,
    changed: &'a [String],
    folded: &'a [String],
    #[serde(skip_serializing_if = "<[Equalization]>::is_empty")]
    equalized: &'a [Equalization],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    corrected: &'a [String],
    float_bytes: usize,
    int8_bytes: usize,
    calibration_samples: usize,
    config: &'a QuantConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    ladder: Option<&'a Climbed>,
}

#[derive(Serialize)]
struct WeightRow<'a> {
    name: &'a str,
    shape: &'a [usize],
    granularity: Granularity,
    input_range: Option<(f32, f32)>,
    float_bytes: usize,
    int8_bytes: usize,
    error: f64,
}

#[derive(Serialize)]
struct Skipped<'a> {
    name: &'a str,
    reason: &'a str,
}

impl<'a> Outcome<'a> {
    /// `file` is where the model was saved, if it was.
    pub(crate) fn new(file: Option<&Path>, made: &'a Made) -> Outcome<'a> {
        let Made { report, config, climbed, calibration_samples } = made;
        let weights = report.weights.iter().map(|weight| WeightRow {
            name: &weight.name,
            shape: weight.shape.dims(),
            granularity: weight.granularity,
            input_range: weight.input_range,
            float_bytes: weight.float_bytes,
            int8_bytes: weight.int8_bytes,
            error: weight.error,
        });
        let skipped = report.skipped.iter().map(|(name, reason)| Skipped { name, reason });
        Outcome {
            file: file.map(|file| file.display().to_string()),
            weights: weights.collect(),
            skipped: skipped.collect(),
            changed: &report.changed,
            folded: &report.folded,
            equalized: &report.equalized,
            corrected: &report.corrected,
            float_bytes: report.float_bytes(),
            int8_bytes: report.int8_bytes(),
            calibration_samples: *calibration_samples,
            config,
            ladder: climbed.as_ref(),
        }
    }

    pub(super) fn print(&self, screen: &mut Screen) -> Result<()> {
        let mut table =
            Table::new(["weight", "shape", "input range", "bytes f32", "bytes int8", "error"]);
        for weight in &self.weights {
            let range = weight.input_range.map(|(min, max)| format!("{min:.3} to {max:.3}"));
            table.row([
                weight.name.to_string(),
                format!("{:?}", weight.shape),
                range.unwrap_or_default(),
                weight.float_bytes.to_string(),
                weight.int8_bytes.to_string(),
                format!("{:.3} %", weight.error * 100.0),
            ]);
        }
        writeln!(screen, "{table}")?;
        for Skipped { name, reason } in &self.skipped {
            writeln!(screen, "left as floats: {name}, {reason}")?;
        }
        if !self.folded.is_empty() {
            writeln!(screen, "folded into their convolutions: {}", self.folded.join(", "))?;
        }
        if !self.changed.is_empty() {
            writeln!(screen, "changed with them: {}", self.changed.join(", "))?;
        }
        if !self.equalized.is_empty() {
            let names = self.equalized.iter().map(|one| one.weight.as_str()).collect::<Vec<_>>();
            writeln!(screen, "channels brought to one range behind: {}", names.join(", "))?;
        }
        if !self.corrected.is_empty() {
            let n = self.corrected.len();
            writeln!(screen, "means of channels corrected in {n} layers")?;
        }
        if let Some(ladder) = &self.ladder {
            write!(screen, "{ladder}")?;
        }
        let Some(file) = &self.file else {
            let lost = self.ladder.and_then(|ladder| ladder.lost_class);
            let found = match lost {
                Some(_) => "within the budget that keeps every class",
                None => "within the budget",
            };
            writeln!(
                screen,
                "no int8 model was found {found}, so that nothing was saved; allow a larger --max-error, or save the nearest with --best"
            )?;
            return Ok(());
        };
        let (before, after) = (self.float_bytes, self.int8_bytes);
        writeln!(
            screen,
            "{} weights in int8: {before} bytes became {after}, {:.2}x smaller; saved to {file}",
            self.weights.len(),
            before as f64 / after.max(1) as f64
        )?;
        Ok(())
    }
}
