use crate::Verdict;
use crate::output::{Screen, progress_bar};
use crate::table::Table;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::Write;
use std::time::Duration;
use tinytorch::bench::{Bench as Timing, Settings};
use tinytorch::{Error, Rng};
use tinytorch_kernels::f32::gemm::{self as float, Matrix, MatrixMut, PackedB, Scaling};
use tinytorch_kernels::int8::{
    self, Activations, Epilogue, Output, Panels, QParams, RowParams, Scales,
};
use tinytorch_kernels::{Isa, Scratch, peak};

/// Measure how near this machine's limits something runs.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Kernels(Kernels),
}

impl Bench {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        match self.what {
            What::Kernels(kernels) => kernels.run(screen),
        }
    }
}

/// Time matrix products in int8 and in f32, each in turn with the limit that binds it.
///
/// The limit is the peak of the multiply-add units or, for a single row, the time of reading the weight
/// once. Int8 products take and give bytes, as between the layers of a plan; f32 products take a weight
/// that was packed once. All figures are medians.
#[derive(Args)]
struct Kernels {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// M, K and N: a large product, a transformer's layer for 128 tokens, and a single row.
const SHAPES: [[usize; 3]; 3] = [[1024, 1024, 1024], [128, 384, 1536], [1, 4096, 4096]];

const THREADS: [usize; 2] = [1, 2];

/// Keeps all of it under half a minute.
const TIME_LIMIT: Duration = Duration::from_millis(1500);

/// The stable form of `--json`.
#[derive(Serialize)]
struct Rows {
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    kernel: String,
    dtype: &'static str,
    m: usize,
    k: usize,
    n: usize,
    threads: usize,
    rate: f64,
    unit: &'static str,
    of_peak: f64,
}

impl Kernels {
    fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let bar = progress_bar("kernels", SHAPES.len() * THREADS.len() * 2);
        let mut rows = Vec::new();
        for shape in SHAPES {
            for threads in THREADS {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                rows.push(pool.install(|| int8_row(shape))?);
                bar.inc(1);
                rows.push(pool.install(|| f32_row(shape))?);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let rows = Rows { rows };
        match self.json {
            true => screen.json(&rows)?,
            false => rows.print(screen)?,
        }
        Ok(Verdict::Good)
    }
}

fn int8_row([m, k, n]: [usize; 3]) -> Result<Row> {
    let isa = Isa::active();
    let mut rng = Rng::seed(0);
    let mut bytes =
        |count: usize| -> Vec<u8> { (0..count).map(|_| rng.next_u64() as u8).collect() };
    let weights: Vec<i8> = bytes(n * k).into_iter().map(|byte| (byte as i8).max(-127)).collect();
    let weight = Panels::pack(&weights, n, k).map_err(Error::from)?;
    let (inputs, scales, mut outputs) = (bytes(m * k), vec![0.01; n], vec![0; m * n]);
    let params = RowParams::Tensor(QParams { scale: 0.01, zero_point: 128 });
    let activations = Activations { data: &inputs, m, k, params };
    let epilogue = Epilogue { scales: Scales::PerChannel(&scales), bias: None, relu: false };
    let mut scratch = Scratch::new();
    let mut kernel = "";
    let product = || {
        let params = QParams { scale: 1.0, zero_point: 128 };
        let out = Output::U8 { data: &mut outputs, params };
        kernel = int8::gemm(isa, &activations, &weight, &epilogue, out, &mut scratch)?;
        Ok(())
    };
    let (rate, of_peak) = match m {
        1 => against_reading(product, || peak::read_panels(isa, &weight), n * k)?,
        _ => against_peak(product, || peak::int8_operations(isa), m * n * k)?,
    };
    let (kernel, threads) = (kernel.to_string(), rayon::current_num_threads());
    Ok(Row { kernel, dtype: "int8", m, k, n, threads, rate, unit: "GOP/s", of_peak })
}

fn f32_row([m, k, n]: [usize; 3]) -> Result<Row> {
    let isa = Isa::active();
    let mut rng = Rng::seed(0);
    let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.normal()).collect() };
    let (inputs, weights, mut outputs) = (values(m * k), values(n * k), vec![0.0; m * n]);
    let weight = Matrix::new(&weights, n, k).t();
    let packed = (m > 1).then(|| PackedB::new(isa, weight));
    let product = || {
        let (a, c) = (Matrix::new(&inputs, m, k), MatrixMut::new(&mut outputs, m, n));
        match &packed {
            Some(packed) => float::gemm(isa, a, packed, c, &Scaling::default()),
            None => float::gemm(isa, a, weight, c, &Scaling::default()),
        }
        Ok(())
    };
    let (rate, of_peak) = match m {
        1 => against_reading(product, || peak::read_f32(isa, &weights), n * k)?,
        _ => against_peak(product, || peak::f32_operations(isa), m * n * k)?,
    };
    let (kernel, threads) = (format!("gemm_f32_{}", isa.name()), rayon::current_num_threads());
    Ok(Row { kernel, dtype: "f32", m, k, n, threads, rate, unit: "GFLOP/s", of_peak })
}

/// The rate of a product of so many multiply-adds in billions of operations per second, and its share
/// of what the units do on operands that are there already.
fn against_peak(
    product: impl FnMut() -> tinytorch::Result<()>,
    units: impl Fn() -> u64,
    multiply_adds: usize,
) -> Result<(f64, f64)> {
    let operations = units();
    let limit = || {
        units();
        Ok(())
    };
    let (product, limit) = seconds(product, limit)?;
    let rate = 2.0 * multiply_adds as f64 / product;
    Ok((rate / 1e9, share(rate, operations as f64 / limit)))
}

/// The rate of a product with a single row, and the share of its time that reading the weight takes.
fn against_reading(
    product: impl FnMut() -> tinytorch::Result<()>,
    read: impl Fn(),
    multiply_adds: usize,
) -> Result<(f64, f64)> {
    let limit = || {
        read();
        Ok(())
    };
    let (product, limit) = seconds(product, limit)?;
    Ok((2.0 * multiply_adds as f64 / product / 1e9, share(1.0 / product, 1.0 / limit)))
}

/// Median seconds of a call of each.
fn seconds(
    product: impl FnMut() -> tinytorch::Result<()>,
    limit: impl FnMut() -> tinytorch::Result<()>,
) -> Result<(f64, f64)> {
    // Several calls in a row, so that each finds in the caches what it left there itself.
    let sample = Duration::from_millis(5);
    let settings = Settings { sample, time_limit: TIME_LIMIT, width: 0.02, ..Settings::default() };
    let report = Timing::new(settings).add("product", product).add("limit", limit).run()?;
    Ok((report.rows[0].seconds.median, report.rows[1].seconds.median))
}

/// A part of a limit, which is at least the whole where the two cannot be told apart.
fn share(rate: f64, limit: f64) -> f64 {
    (rate / limit).min(1.0)
}

impl Rows {
    fn print(&self, screen: &mut Screen) -> Result<()> {
        let mut table = Table::new(["kernel", "M x K x N", "threads", "rate", "of the limit"]);
        for row in &self.rows {
            table.row([
                row.kernel.clone(),
                format!("{} x {} x {}", row.m, row.k, row.n),
                row.threads.to_string(),
                format!("{:.0} {}", row.rate, row.unit),
                format!("{:.0} %", row.of_peak * 100.0),
            ]);
        }
        write!(screen, "{table}")?;
        Ok(())
    }
}
