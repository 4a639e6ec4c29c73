//! `bench kernels`: matrix products beside the limit that binds them.

use crate::Verdict;
use crate::output::{Screen, progress_bar};
use crate::table::Table;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};
use tinytorch::stats::Quartiles;
use tinytorch::{Error, Rng};
use tinytorch_kernels::f32::gemm::{self as float, Matrix, MatrixMut, PackedB, Scaling};
use tinytorch_kernels::int8::{
    self, Activations, Epilogue, Output, Panels, QParams, RowParams, Scales,
};
use tinytorch_kernels::{Isa, Scratch, peak};

/// Time matrix products in int8 and in f32, each in turn with the limit that binds it.
///
/// The limit is the peak of the multiply-add units or, for a single row, the rate at which the threads
/// read buffers that are together as large as the weight. Int8 products take and give bytes, as between
/// the layers of a plan; f32 products take a weight that was packed once, but for a single row. All
/// figures are medians.
#[derive(Args)]
pub(super) struct Kernels {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// M, K and N: a large product, a transformer's layer for 128 tokens, and a single row.
const SHAPES: [[usize; 3]; 3] = [[1024, 1024, 1024], [128, 384, 1536], [1, 4096, 4096]];

const THREADS: [usize; 2] = [1, 2];

/// How often each product and its limit are measured, in turn.
const ROUNDS: usize = 5;

/// How long a product is called over and over in a round; the first third warms up and does not count.
const TIME: Duration = Duration::from_millis(90);

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
    pub(super) fn run(self, screen: &mut Screen) -> Result<Verdict> {
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
    let weight = Panels::pack(&weights, n, k).map_err(Error::from)?.with_sums();
    let (inputs, scales, mut outputs) = (bytes(m * k), vec![0.01; n], vec![0; m * n]);
    let params = RowParams::Tensor(QParams { scale: 0.01, zero_point: 128 });
    let activations = Activations { data: &inputs, m, k, params };
    let epilogue = Epilogue { scales: Scales::PerChannel(&scales), bias: None, relu: false };
    let mut scratch = Scratch::new();
    let mut kernel = "";
    let product = || -> Result<()> {
        let params = QParams { scale: 1.0, zero_point: 128 };
        let out = Output::U8 { data: &mut outputs, params };
        kernel = int8::gemm(isa, &activations, &weight, &epilogue, out, &mut scratch)
            .map_err(Error::from)?
            .name;
        Ok(())
    };
    let limit = |threads| match m {
        // Two operations for each byte of the weight.
        1 => 2.0 * peak::read_bandwidth(isa, n * k / threads, threads),
        _ => peak::compute(isa, threads).int8_gops,
    };
    let (rate, of_peak) = measure(product, limit, m * n * k)?;
    let (kernel, threads) = (kernel.to_string(), rayon::current_num_threads());
    Ok(Row { kernel, dtype: "int8", m, k, n, threads, rate, unit: "GOP/s", of_peak })
}

fn f32_row([m, k, n]: [usize; 3]) -> Result<Row> {
    let isa = Isa::active();
    let mut rng = Rng::seed(0);
    let mut values =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect() };
    let (inputs, weights, mut outputs) = (values(m * k), values(n * k), vec![0.0; m * n]);
    let weight = Matrix::new(&weights, n, k).t();
    let packed = (m > 1).then(|| PackedB::new(isa, weight));
    let product = || -> Result<()> {
        let (a, c) = (Matrix::new(&inputs, m, k), MatrixMut::new(&mut outputs, m, n));
        match &packed {
            Some(packed) => float::gemm(isa, a, packed, c, &Scaling::default()),
            None => float::gemm(isa, a, weight, c, &Scaling::default()),
        }
        Ok(())
    };
    let limit = |threads| match m {
        // Two operations for each four bytes of the weight.
        1 => 0.5 * peak::read_bandwidth(isa, 4 * n * k / threads, threads),
        _ => peak::compute(isa, threads).f32_gflops,
    };
    let (rate, of_peak) = measure(product, limit, m * n * k)?;
    let (kernel, threads) = (format!("gemm_f32_{}", isa.name()), rayon::current_num_threads());
    Ok(Row { kernel, dtype: "f32", m, k, n, threads, rate, unit: "GFLOP/s", of_peak })
}

/// The rate of a product of so many multiply-adds, and its share of the limit for so many threads, both
/// in billions of operations per second.
fn measure(
    mut product: impl FnMut() -> Result<()>,
    limit: impl Fn(usize) -> f64,
    multiply_adds: usize,
) -> Result<(f64, f64)> {
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let limit = limit(rayon::current_num_threads());
        let rate = 2.0 * multiply_adds as f64 * calls_per_second(&mut product)? / 1e9;
        rates.push(rate);
        // Where the two cannot be told apart, the limit is at least what was reached.
        shares.push((rate / limit).min(1.0));
    }
    Ok((Quartiles::of(&rates).median, Quartiles::of(&shares).median))
}

fn calls_per_second(mut product: impl FnMut() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    while started.elapsed() < TIME / 3 {
        product()?;
    }
    let (started, mut calls) = (Instant::now(), 0);
    while started.elapsed() < TIME * 2 / 3 {
        product()?;
        calls += 1;
    }
    Ok(f64::from(calls) / started.elapsed().as_secs_f64())
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
