//! `quantize`: a float model's weights become int8.

use super::ladder::{Climbed, climb};
use crate::Verdict;
use crate::arrays::Arrays;
use crate::data::{Learner, Origin, Source, check_inputs, example, usual_config};
use crate::language::own_tokenizer;
use crate::open::{is_onnx, open};
use crate::output::{Screen, progress_bar};
use crate::overwrite::Paths;
use crate::pictures::Pictures;
use crate::problem::Problem;
use crate::scale;
use crate::share::Share;
use crate::table::Table;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::str::FromStr;
use tinytorch::Tensor;
use tinytorch::autograd::Var;
use tinytorch::data::Labels;
use tinytorch::files::{
    Loaded, Provenance, check_folder, check_writable, digest_params, digest_tensors, save_folder,
    save_model,
};
use tinytorch::int8::{Granularity, WeightBits};
use tinytorch::models::{ListModel, Model};
use tinytorch::quant::{
    Activations, QuantConfig, QuantRecord, QuantReport, RangeMethod, Scheme, SeenRows,
    quantize_model,
};

/// Samples per calibration pass; the ranges do not depend on it.
const BATCH: usize = 64;

/// Turn a float model's weights into int8, and save the result beside it.
#[derive(Args)]
pub(crate) struct Quantize {
    /// The float model: tinytorch's own file, a folder with config.json, weights and tokenizer, a safetensors
    /// file with its config.json beside it, or a .bin file of llama2.c
    file: PathBuf,
    /// Folder or file to take the activations' ranges from, or `digits` or `tinytalks`, which are embedded; a
    /// .txt file for a language model
    #[arg(long, value_name = "PATH|digits|tinytalks")]
    calibrate: Option<Source>,
    #[command(flatten)]
    pictures: Pictures,
    /// Which column of a .csv holds the labels, where its names or values do not tell
    #[arg(long, value_name = "first|last|NAME|none", requires = "calibrate")]
    labels: Option<Labels>,
    /// File to save the int8 model to, or a folder for it: then settings and tokenizer are copied into it. A
    /// folder becomes a folder, unless this ends in .safetensors
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Largest error of the output, as a fraction or in percent: the fastest way within it is searched
    /// for, layer by layer, on the calibration data. The exit code is 1 if there is none
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["granularity", "wide"])]
    max_error: Option<Share>,
    /// How many weights share a scale; blocks for decoders and per-channel for other models unless said
    /// otherwise
    #[arg(long, value_enum)]
    granularity: Option<Sharing>,
    /// Bits that the values of weights use, of the 8 in which each is stored
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = weight_bits)]
    bits: WeightBits,
    /// Whether activations are 8 bits with calibrated ranges, 8 bits with ranges found for each row, or
    /// floats; dynamic for transformers and static for other models unless said otherwise
    #[arg(long, value_enum)]
    activations: Option<Inputs>,
    /// How calibrated ranges are chosen: min-max, percentile, percentile=SHARE or mse
    #[arg(long, value_name = "METHOD", default_value = "min-max")]
    range: Range,
    /// Weights to leave as floats, by their dotted names or their layers', in which * stands for anything
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    skip: Vec<String>,
    /// Ends of the names of weights whose dynamic activations take 16 bits, such as q_proj.weight, or
    /// weight for all; transformers have some unless --activations or this is given
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',')]
    wide: Option<Vec<String>>,
    /// Training samples to calibrate with
    #[arg(long, value_name = "N", default_value_t = 512)]
    samples: usize,
    /// Seed of the choice of samples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Replace the float model itself
    #[arg(long)]
    force: bool,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sharing {
    PerChannel,
    PerTensor,
    Blocks,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Inputs {
    Static,
    Dynamic,
    Float,
}

#[derive(Clone, Copy, Debug)]
struct Range(RangeMethod);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        /// Clips 1 value in 10,000 at each end.
        const PERCENTILE: f64 = 1e-4;
        let method = match text.split_once('=') {
            None if text == "min-max" => RangeMethod::MinMax,
            None if text == "percentile" => RangeMethod::Percentile(PERCENTILE),
            None if text == "mse" => RangeMethod::Mse,
            Some(("percentile", share)) => match share.parse()? {
                Share(share) if share < 0.5 => RangeMethod::Percentile(share),
                _ => return Err("a share below one half must be cut off at each end".into()),
            },
            _ => return Err("the methods are min-max, percentile, percentile=SHARE, mse".into()),
        };
        Ok(Range(method))
    }
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome<'a> {
    file: String,
    weights: Vec<WeightRow<'a>>,
    skipped: Vec<Skipped<'a>>,
    changed: &'a [String],
    folded: &'a [String],
    float_bytes: usize,
    int8_bytes: usize,
    calibration_samples: usize,
    config: &'a QuantConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    ladder: Option<Climbed>,
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

impl Quantize {
    pub(crate) fn paths(&self) -> Paths<'_> {
        let calibrate = self.calibrate.as_ref().and_then(Source::path);
        Paths::to(&*self.out).reading_model(&*self.file, self.force).reading(calibrate)
    }

    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let Loaded { mut model, mut provenance } = open(&self.file)?;
        if is_onnx(&self.out) {
            return Err(Problem::NotWritten { path: self.out }.into());
        }
        match self.is_folder() {
            true => check_folder(&self.out)?,
            false => check_writable(&self.out)?,
        }
        let config = self.config(usual_config(&*model));
        provenance.float_sha256 = Some(digest_params(&*model)?);
        let samples = self.calibration(&*model, &config, &mut provenance)?;
        let (report, config, climbed) = match self.max_error {
            None => (quantize(&mut *model, &samples, &config)?, config, None),
            Some(Share(max_error)) => {
                let (ladder, climbed) = climb(&mut *model, &samples, max_error, &config)?;
                (ladder.report, ladder.config, Some(climbed))
            }
        };
        QuantRecord::new(&config, &report).write(&mut provenance)?;
        match self.is_folder() {
            true => save_folder(&self.out, self.folder(), &*model, &provenance)?,
            false => save_model(&self.out, &*model, &provenance)?,
        }

        let outcome = Outcome::new(&self.out, &report, &config, climbed, samples[0].shape()[0]);
        match self.json {
            true => screen.json(&outcome)?,
            false => outcome.print(screen)?,
        }
        Ok(match outcome.ladder {
            Some(Climbed { within: false, .. }) => Verdict::GateFailed,
            _ => Verdict::Good,
        })
    }

    /// Whether the result is a folder: that of a model with settings beside its weights may be one.
    fn is_folder(&self) -> bool {
        let is_file = self.out.extension().is_some_and(|extension| extension == "safetensors");
        let ends_as_folder = self.out.as_os_str().to_string_lossy().ends_with(MAIN_SEPARATOR);
        let has_settings = self.folder().join("config.json").exists();
        (self.file.is_dir() && !is_file) || (has_settings && (self.out.is_dir() || ends_as_folder))
    }

    /// The folder that the float model lies in.
    fn folder(&self) -> &Path {
        if self.file.is_dir() {
            return &self.file;
        }
        self.file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
    }

    /// The settings that the arguments ask for, and for the rest the usual ones.
    fn config(&self, usual: QuantConfig) -> QuantConfig {
        let asked = |scheme: Scheme| {
            let scheme = scheme.with_bits(self.bits);
            let scheme = match self.granularity {
                None => scheme,
                Some(Sharing::PerChannel) => scheme.with_granularity(Granularity::PerChannel),
                Some(Sharing::PerTensor) => scheme.with_granularity(Granularity::PerTensor),
                Some(Sharing::Blocks) => scheme.with_granularity(Granularity::Blocks),
            };
            match self.activations {
                None => scheme,
                Some(Inputs::Static) => scheme.with_activations(Activations::Static),
                Some(Inputs::Dynamic) => scheme.with_activations(Activations::Dynamic),
                Some(Inputs::Float) => scheme.with_activations(Activations::Float),
            }
        };
        let mut config = usual.map(asked).knowingly();
        config.range = self.range.0;
        // What suits the architecture is for those who ask for nothing else, and the ladder finds its own.
        if self.wide.is_some() || self.activations.is_some() || self.max_error.is_some() {
            config.patterns.clear();
        }
        let wide = match config.scheme.activations() {
            Activations::Dynamic => config.scheme.with_activations(Activations::Dynamic16),
            _ => config.scheme,
        };
        for end in self.wide.iter().flatten() {
            config = config.with(format!("*{end}"), wide);
        }
        self.skip.iter().fold(config, |config, name| config.with(name, Scheme::Float))
    }

    /// The inputs to calibrate with, of which the provenance then tells. Without static activations a
    /// single input is enough, whatever its values: it shows which norms follow a convolution.
    fn calibration(
        &self,
        model: &dyn Model,
        config: &QuantConfig,
        provenance: &mut Provenance,
    ) -> Result<Vec<Tensor>> {
        let Some(source) = &self.calibrate else {
            if self.max_error.is_some() {
                return Err(Problem::NothingToJudge.into());
            }
            if config.scheme.is_static() {
                return Err(Problem::NoCalibration.into());
            }
            return example(model, 1).map(|example| vec![example]);
        };
        if let Some(path) = source.path().filter(|path| Arrays::are_in(path, model)) {
            let arrays = Arrays::read(path, model, &self.pictures)?;
            if let Some(told) = &arrays.told {
                provenance.notes.insert("calibration_pictures".to_string(), told.clone());
            }
            self.pictures.note(provenance)?;
            let arrays = arrays.some(self.samples, model.fixed_batch())?;
            let data = source.to_string();
            scale::note_calibration(&arrays[0], &data, provenance)?;
            Origin::of(data).note(Learner::Calibration, provenance);
            let named: Vec<(&str, Tensor)> = arrays.iter().map(|t| ("inputs", t.clone())).collect();
            provenance.calibration_sha256 = Some(digest_tensors(&named)?);
            SeenRows::of(&arrays)?.write(provenance);
            return Ok(arrays);
        }
        let own = match source.is_text() {
            true => own_tokenizer(&self.file, model, provenance)?,
            false => None,
        };
        let source = source.clone().with_labels(self.labels.as_ref());
        let (inputs, origin): (Tensor, Origin) =
            source.to_calibrate(model, own.as_deref(), self.samples, self.seed)?;
        let data = source.to_string();
        check_inputs(&inputs, &data, model)?;
        scale::check(&inputs, &data, provenance)?;
        scale::note_calibration(&inputs, &data, provenance)?;
        origin.note(Learner::Calibration, provenance);
        provenance.calibration_sha256 = Some(digest_tensors(&[("inputs", inputs.clone())])?);
        SeenRows::of(std::slice::from_ref(&inputs))?.write(provenance);
        Ok(vec![inputs])
    }
}

fn quantize(
    model: &mut dyn Model,
    samples: &[Tensor],
    config: &QuantConfig,
) -> Result<QuantReport> {
    let n = samples[0].shape()[0];
    let size = model.fixed_batch().unwrap_or(BATCH);
    let batch = |start: usize| {
        let part = |input: &Tensor| input.slice(0, start..n.min(start + size)).map(Var::from);
        samples.iter().map(part).collect::<tinytorch::Result<Vec<Var>>>()
    };
    let bar = progress_bar("calibrating", n.div_ceil(size));
    let batches = bar.wrap_iter((0..n).step_by(size)).map(batch);
    Ok(quantize_model(model as &mut dyn ListModel, batches, config)?)
}

/// The bits of a weight's values, from an argument.
pub(super) fn weight_bits(text: &str) -> Result<WeightBits, String> {
    let bits = text.parse().map_err(|_| format!("{text:?} is not a number from 2 to 8"))?;
    WeightBits::new(bits).map_err(|error| error.to_string())
}

impl<'a> Outcome<'a> {
    fn new(
        file: &Path,
        report: &'a QuantReport,
        config: &'a QuantConfig,
        ladder: Option<Climbed>,
        calibration_samples: usize,
    ) -> Outcome<'a> {
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
            file: file.display().to_string(),
            weights: weights.collect(),
            skipped: skipped.collect(),
            changed: &report.changed,
            folded: &report.folded,
            float_bytes: report.float_bytes(),
            int8_bytes: report.int8_bytes(),
            calibration_samples,
            config,
            ladder,
        }
    }

    fn print(&self, screen: &mut Screen) -> Result<()> {
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
        if let Some(ladder) = &self.ladder {
            write!(screen, "{ladder}")?;
        }
        let (before, after) = (self.float_bytes, self.int8_bytes);
        writeln!(
            screen,
            "{} weights in int8: {before} bytes became {after}, {:.2}x smaller; saved to {}",
            self.weights.len(),
            before as f64 / after.max(1) as f64,
            self.file
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| text.parse::<Range>().map(|range| range.0);
        assert_eq!(read("min-max"), Ok(RangeMethod::MinMax));
        assert_eq!(read("mse"), Ok(RangeMethod::Mse));
        assert_eq!(read("percentile"), Ok(RangeMethod::Percentile(1e-4)));
        assert_eq!(read("percentile=0.1%"), Ok(RangeMethod::Percentile(0.001)));
        for bad in ["", "max", "mse=1", "percentile=", "percentile=0.5", "percentile=x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
