//! The command `audit`.

use super::ci;
use crate::Verdict;
use crate::arrays::Arrays;
use crate::data::{Judging, Source, check_examples};
use crate::open::{is_onnx, kinds, open};
use crate::output::Screen;
use crate::pictures::Pictures;
use crate::share::{Floor, Share};
use crate::table::Table;
use anyhow::{Context, Result};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::audit::{
    AuditOptions, Budget, Gate, HeldOut, ModelFiles, ModelReport, Probe, REFERENCES, Report,
    Saturation, Subject, audit_model, page,
};
use tinytorch::files::{check_writable, replace, save_model};
use tinytorch::train::ProgressBar;

/// Judge an int8 model against the float model that it was made from, by measurements.
///
/// Without arguments the reference models are trained, quantized and judged. The exit code is 0 only if
/// every gate passes.
#[derive(Args)]
pub(crate) struct Audit {
    /// The float model's file
    #[arg(value_name = "FP32", requires_all = ["int8", "data"])]
    float: Option<PathBuf>,
    /// The file of the int8 model that was made from it
    #[arg(value_name = "INT8")]
    int8: Option<PathBuf>,
    /// Folder or file with labeled samples to judge by, or `digits` or `tinytalks`, which are embedded
    #[arg(long, value_name = "PATH|digits|tinytalks", requires = "float")]
    data: Option<Source>,
    #[command(flatten)]
    pictures: Pictures,
    /// Largest error of the output, as a fraction or in percent
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    max_error: Share,
    /// Accuracy that the float model must reach to be worth the test, or perplexity that it must not
    /// exceed
    #[arg(long, value_name = "ACCURACY|PERPLEXITY", requires = "float")]
    float_floor: Option<Floor>,
    /// Leave out the timing gate
    #[arg(long)]
    no_latency: bool,
    /// Folder for report.html and report.json
    #[arg(long, value_name = "DIR", default_value = "audit-report")]
    out: PathBuf,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// The int8 model as it was before it was fine-tuned: what may differ from the float model is what has
    /// changed since
    #[arg(long, value_name = "INT8", requires = "float")]
    before: Option<PathBuf>,
    /// File to write the gates to as JUnit's XML, for systems that gate on it
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print the gates that did not pass as annotations of a GitHub workflow, too
    #[arg(long, conflicts_with = "json")]
    github: bool,
    /// Seed of the reference models' weights, data order and calibration samples
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "float")]
    seed: u64,
}

impl Audit {
    pub(crate) fn run(self, probe: Probe, screen: &mut Screen) -> Result<Verdict> {
        let models = match (&self.float, &self.int8, &self.data) {
            (Some(float), Some(int8), Some(data)) => {
                // The fresh processes that measure memory read files of one form.
                let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
                let imported = folder.path().join("float.safetensors");
                let float = match is_onnx(float) {
                    true => {
                        let float = open(float)?;
                        save_model(&imported, &*float.model, &float.provenance)?;
                        &imported
                    }
                    false => float,
                };
                let subject = subject(float, int8, data, &self.pictures, self.before.as_deref())?;
                let floor = self.float_floor.map(|floor| floor.of(&subject.task));
                let float_floor = floor.transpose()?;
                vec![self.judge(&subject, Budget { float_floor, ..Budget::default() }, probe)?]
            }
            _ => self.judge_references(probe)?,
        };
        let report = Report::new(models);
        let json = serde_json::to_string_pretty(&report)?;
        let (data, page) = (self.data_path(), self.page_path());
        replace(&data, |file| file.write_all(json.as_bytes()))?;
        replace(&page, |file| file.write_all(page::render(&report).as_bytes()))?;
        if let Some(junit) = &self.junit {
            replace(junit, |file| file.write_all(ci::junit(&report).as_bytes()))?;
        }
        if self.json {
            writeln!(screen, "{json}")?;
        } else {
            report.models.iter().try_for_each(|model| print_model(model, screen))?;
            writeln!(screen, "report: {}, {}", page.display(), data.display())?;
            if self.github {
                write!(screen, "{}", ci::github(&report))?;
            }
            let verdicts: Vec<String> = report.models.iter().map(ci::verdict).collect();
            writeln!(screen, "verdict: {}", verdicts.join("; "))?;
        }
        Ok(if report.passed() { Verdict::Good } else { Verdict::GateFailed })
    }

    fn data_path(&self) -> PathBuf {
        self.out.join("report.json")
    }

    fn page_path(&self) -> PathBuf {
        self.out.join("report.html")
    }

    fn judge_references(&self, probe: Probe) -> Result<Vec<ModelReport>> {
        self.make_folder()?;
        let mut models = Vec::new();
        for reference in REFERENCES {
            let (subject, budget) = reference.prepare(self.seed, ProgressBar::new())?;
            models.push(self.judge(&subject, budget, probe.clone())?);
        }
        Ok(models)
    }

    fn judge(&self, subject: &Subject, budget: Budget, probe: Probe) -> Result<ModelReport> {
        self.make_folder()?;
        let Share(max_error) = self.max_error;
        let (probe, latency) = (Some(probe), !self.no_latency);
        let options = AuditOptions { probe, latency, ..AuditOptions::default() };
        Ok(audit_model(subject, &Budget { max_error, ..budget }, &options)?)
    }

    /// Makes sure that the reports can be written before the long work.
    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make the folder {}", self.out.display()))?;
        check_writable(self.data_path())?;
        if let Some(junit) = &self.junit {
            check_writable(junit)?;
        }
        Ok(check_writable(self.page_path())?)
    }
}

/// Two models in files, and the samples to judge them by.
fn subject(
    float: &Path,
    int8: &Path,
    data: &Source,
    pictures: &Pictures,
    before: Option<&Path>,
) -> Result<Subject> {
    let files = ModelFiles::open_with(float, int8, &kinds())?;
    let pictures = pictures.clone().or_noted(files.provenances()[1]);
    let float = files.models()[0];
    let held_out = match data.path().filter(|path| Arrays::are_in(path, float)) {
        Some(path) => {
            let Arrays { inputs, labels, .. } = Arrays::read(path, float, &pictures)?;
            HeldOut::new(inputs, labels)?
        }
        None => {
            let Judging { name, samples, .. } = data.to_judge(float, &files.provenances())?;
            for model in files.models() {
                check_examples(&samples, &name, model)?;
            }
            samples.into()
        }
    };
    let subject = files.judged_by(held_out).with_context(|| int8.display().to_string())?;
    match before {
        Some(before) => {
            subject.fine_tuned_since(before).with_context(|| before.display().to_string())
        }
        None => Ok(subject),
    }
}

fn print_model(model: &ModelReport, screen: &mut Screen) -> Result<()> {
    writeln!(screen, "{}: {}\n", model.name, model.verdict.word())?;
    let mut table = Table::new(["gate", "result", "value", "limit", "measured"]);
    for gate in &model.gates {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| with_unit(v, gate));
        table.row([
            gate.id.to_string(),
            gate.result.word().to_string(),
            number(gate.value),
            number(gate.limit),
            gate.reason.clone(),
        ]);
    }
    writeln!(screen, "{table}")?;
    let mut table =
        Table::new(["layer", "kernel", "own error", "gathered", "bytes f32", "bytes int8"]);
    for layer in &model.layers {
        table.row([
            layer.name.clone(),
            layer.kernel.to_string(),
            format!("{:.3} %", layer.own_error_percent),
            format!("{:.3} %", layer.propagated_error_percent),
            layer.float_bytes.to_string(),
            layer.int8_bytes.to_string(),
        ]);
    }
    writeln!(screen, "{table}")?;
    for saturation in &model.saturation {
        let Saturation { factor, percent, worst_layer, worst_percent, agreement } = saturation;
        let alike = agreement.map_or(String::new(), |agreement| {
            format!("; {agreement:.2} % of the answers are those of the float model")
        });
        writeln!(
            screen,
            "  inputs x{factor}: {percent:.3} % of the activations lie outside of their ranges, of \
             {worst_layer} {worst_percent:.3} %{alike}"
        )?;
    }
    Ok(())
}

fn with_unit(value: f64, gate: &Gate) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    format!("{value:.digits$} {}", gate.unit)
}
