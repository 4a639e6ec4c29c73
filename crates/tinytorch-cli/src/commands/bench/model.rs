//! `bench MODEL`: how long a deployed model takes.

use crate::Verdict;
use crate::open::open;
use crate::output::Screen;
use crate::problem::Problem;
use crate::shapes::Shapes;
use crate::table::Table;
use anyhow::Result;
use clap::{Args, value_parser};
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tinytorch::Tensor;
use tinytorch::models::{compile, run};
use tinytorch::plan::{Plan, StepTime};

/// Passes before the clock starts: the first allocates, and caches are cold.
const WARM_UP: usize = 3;

/// Passes that are timed at least, however long they take.
const FEWEST: usize = 5;

/// Time passes of a model as it is deployed.
#[derive(Args)]
pub(super) struct Timed {
    /// A model's file, float, int8 or ONNX
    #[arg(value_name = "MODEL", required = true)]
    file: Option<PathBuf>,
    /// Samples in a pass, 1 unless the model takes another number
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// Threads that share the work; by default as many as the machine has
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    shapes: Shapes,
    /// Time every step of the plan too
    #[arg(long)]
    steps: bool,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`; times in milliseconds.
#[derive(Serialize)]
struct Times {
    file: String,
    batch: usize,
    threads: usize,
    isa: &'static str,
    passes: usize,
    median_ms: f64,
    p10: f64,
    p90: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
}

/// A step of the plan, and the median of its time.
#[derive(Serialize)]
struct Step {
    /// The weight that it was made for, or what it does.
    name: String,
    does: &'static str,
    kernel: &'static str,
    median_us: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number of seconds up to 3600".into()),
    }
}

impl Timed {
    pub(super) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let file = self.file.unwrap_or_default();
        let model = open(&file)?.model;
        let inputs = self.shapes.example(&*model, self.batch.map(usize::from))?;
        let threads = self.threads.map_or_else(rayon::current_num_threads, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|_| Problem::Threads { threads })?;
        let (times, steps) = pool.install(|| {
            let mut plan = compile(&*model, &inputs)?;
            let times = timed(self.seconds, || run(&mut plan, &inputs).map(drop))?;
            let steps =
                if self.steps { steps(&mut plan, &inputs, times.len())? } else { Vec::new() };
            Ok::<_, tinytorch::Error>((times, steps))
        })?;
        let at = |share: f64| {
            let place = ((times.len() - 1) as f64 * share).round() as usize;
            times[place].as_secs_f64() * 1e3
        };
        let times = Times {
            file: file.display().to_string(),
            batch: samples(&inputs),
            threads,
            isa: tinytorch::Isa::active().name(),
            passes: times.len(),
            median_ms: at(0.5),
            p10: at(0.1),
            p90: at(0.9),
            steps,
        };
        match self.json {
            true => screen.json(&times)?,
            false => write!(screen, "{times}")?,
        }
        Ok(Verdict::Good)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.steps.is_empty() {
            let mut table = Table::new(["step", "does", "kernel", "microseconds"]);
            for Step { name, does, kernel, median_us } in &self.steps {
                let [name, does, kernel] = [name.as_str(), *does, *kernel].map(str::to_string);
                table.row([name, does, kernel, format!("{median_us:.1}")]);
            }
            writeln!(f, "{table}")?;
        }
        writeln!(
            f,
            "{}: {:.3} ms per pass of {} (10 % below {:.3}, 10 % above {:.3}), {} passes on {} threads, {}",
            self.file,
            self.median_ms,
            self.batch,
            self.p10,
            self.p90,
            self.passes,
            self.threads,
            self.isa
        )
    }
}

fn samples(inputs: &[Tensor]) -> usize {
    inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(1)
}

/// How long each pass took, in rising order.
fn timed(
    seconds: f64,
    mut pass: impl FnMut() -> tinytorch::Result<()>,
) -> tinytorch::Result<Vec<Duration>> {
    for _ in 0..WARM_UP {
        pass()?;
    }
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < FEWEST || started.elapsed().as_secs_f64() < seconds {
        let begun = Instant::now();
        pass()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// The steps of a plan, each with the median of its time over so many passes.
fn steps(plan: &mut Plan, inputs: &[Tensor], passes: usize) -> tinytorch::Result<Vec<Step>> {
    let inputs = inputs.to_vec();
    let runs = (0..passes).map(|_| plan.profile(&inputs)).collect::<tinytorch::Result<Vec<_>>>()?;
    let median = |step: usize| {
        let mut times: Vec<Duration> = runs.iter().map(|run| run[step].time).collect();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let rows = runs.first().into_iter().flatten().enumerate();
    let step = |(i, row): (usize, &StepTime)| Step {
        name: row.name.clone(),
        does: row.op,
        kernel: row.kernel,
        median_us: median(i),
    };
    Ok(rows.map(step).collect())
}
