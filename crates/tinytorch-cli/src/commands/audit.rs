use crate::Verdict;
use crate::table::Table;
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;
use tinytorch::audit::{Gate, ModelReport, REFERENCES, Report, audit_model};
use tinytorch::train::ProgressBar;

/// Train the reference models, quantize them, and judge the int8 models by measurements.
#[derive(Args)]
pub(crate) struct Audit {
    /// Folder for report.json
    #[arg(long, value_name = "DIR", default_value = "audit-report")]
    out: PathBuf,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Seed of weights, data order and calibration samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Audit {
    pub(crate) fn run(self) -> Result<Verdict> {
        let mut models = Vec::new();
        for reference in REFERENCES {
            let (subject, budget) = reference.prepare(self.seed, ProgressBar::new())?;
            models.push(audit_model(&subject, &budget)?);
        }
        let report = Report::new(models);
        let json = serde_json::to_string_pretty(&report)?;
        let path = self.out.join("report.json");
        std::fs::create_dir_all(&self.out)
            .and_then(|()| std::fs::write(&path, &json))
            .with_context(|| format!("cannot write {}", path.display()))?;
        if self.json {
            println!("{json}");
        } else {
            report.models.iter().for_each(print_model);
            println!("report: {}", path.display());
        }
        Ok(if report.passed() { Verdict::Good } else { Verdict::GateFailed })
    }
}

fn print_model(model: &ModelReport) {
    println!("{}: {}\n", model.name, model.verdict.word());
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
    println!("{table}");
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
    println!("{table}");
}

fn with_unit(value: f64, gate: &Gate) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    format!("{value:.digits$} {}", gate.unit)
}
