//! GFLOP/s of `C = A B` by tinytorch and by the Rust crates it could have used, in interleaved
//! rounds: `cargo run --release` in this folder. Each figure is the median of its rounds.

use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use std::fmt;
use std::process::Command;
use std::time::Instant;
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::gemm::{BatchDim, Matrix, MatrixMut, Scaling, gemm_batched};

const ROUNDS: usize = 15;

/// A batch of products of the same shape, and which factors are stored transposed.
#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    a_transposed: bool,
    b_transposed: bool,
}

const fn product(m: usize, k: usize, n: usize) -> Shape {
    Shape { batch: 1, m, k, n, a_transposed: false, b_transposed: false }
}

/// A linear layer, whose weight is stored `[out, in]`.
const fn linear(m: usize, k: usize, n: usize) -> Shape {
    Shape { b_transposed: true, ..product(m, k, n) }
}

/// The gradient of a linear layer's weight, for `k` inputs.
const fn gradient(m: usize, k: usize, n: usize) -> Shape {
    Shape { a_transposed: true, ..product(m, k, n) }
}

/// Queries times keys.
const fn scores(batch: usize, time: usize, width: usize) -> Shape {
    Shape { batch, ..linear(time, width, time) }
}

/// Attention weights times values.
const fn mix(batch: usize, time: usize, width: usize) -> Shape {
    Shape { batch, ..product(time, time, width) }
}

const SHAPES: [Shape; 24] = [
    product(1024, 1024, 1024),
    linear(128, 384, 1536),
    linear(64, 784, 512),
    linear(1, 4096, 4096),
    product(64, 576, 3136),
    product(32, 32, 32),
    product(64, 64, 64),
    product(16, 64, 64),
    linear(16, 64, 64),
    linear(32, 784, 512),
    linear(32, 512, 10),
    linear(1, 784, 512),
    linear(1, 512, 256),
    linear(1, 128, 512),
    gradient(512, 32, 784),
    gradient(10, 32, 512),
    product(32, 512, 784),
    scores(32, 16, 32),
    mix(32, 16, 32),
    scores(48, 64, 32),
    mix(48, 64, 32),
    scores(64, 128, 64),
    mix(64, 128, 64),
    Shape { a_transposed: true, ..mix(48, 64, 32) },
];

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { batch, m, k, n, a_transposed, b_transposed } = *self;
        let many = if batch > 1 { format!("{batch} of ") } else { String::new() };
        let a = if a_transposed { ", A transposed" } else { "" };
        let b = if b_transposed { ", B transposed" } else { "" };
        f.pad(&format!("{many}{m} x {k} x {n}{a}{b}"))
    }
}

/// Factors, and the threads that multiply them.
#[derive(Clone, Copy)]
struct Case<'a> {
    shape: Shape,
    a: &'a [f32],
    b: &'a [f32],
    threads: usize,
}

impl Case<'_> {
    /// Distances between the rows and between the columns of A.
    fn a_strides(&self) -> [usize; 2] {
        if self.shape.a_transposed { [1, self.shape.m] } else { [self.shape.k, 1] }
    }

    fn b_strides(&self) -> [usize; 2] {
        if self.shape.b_transposed { [1, self.shape.k] } else { [self.shape.n, 1] }
    }
}

type Product = fn(&Case<'_>, &mut [f32]);

const PRODUCTS: [(&str, Product); 4] = [
    ("tinytorch", tinytorch),
    ("gemm", |case, c| one_by_one(case, c, gemm)),
    ("rten-gemm", |case, c| one_by_one(case, c, rten)),
    ("matrixmultiply", |case, c| one_by_one(case, c, matrixmultiply)),
];

fn tinytorch(case: &Case<'_>, c: &mut [f32]) {
    let Shape { batch, m, k, n, .. } = case.shape;
    let ([a_row, a_col], [b_row, b_col]) = (case.a_strides(), case.b_strides());
    let items = BatchDim { len: batch, a_stride: m * k, b_stride: k * n, c_stride: m * n };
    let a = Matrix::strided(case.a, m, k, a_row, a_col);
    let b = Matrix::strided(case.b, k, n, b_row, b_col);
    gemm_batched(Isa::active(), &[items], a, b, MatrixMut::new(c, m, n), &Scaling::default());
}

/// A batch as a crate without batches computes it: the threads share the products.
fn one_by_one(case: &Case<'_>, c: &mut [f32], product: Product) {
    let Shape { batch, m, k, n, .. } = case.shape;
    if batch == 1 {
        return product(case, c);
    }
    let item = |(i, c): (usize, &mut [f32])| {
        let (a, b) = (&case.a[i * m * k..], &case.b[i * k * n..]);
        product(&Case { a, b, threads: 1, ..*case }, c);
    };
    match case.threads {
        1 => c.chunks_exact_mut(m * n).enumerate().for_each(item),
        _ => c.par_chunks_exact_mut(m * n).enumerate().for_each(item),
    }
}

fn gemm(case: &Case<'_>, c: &mut [f32]) {
    let Shape { m, k, n, .. } = case.shape;
    let [a_row, a_col] = case.a_strides().map(usize::cast_signed);
    let [b_row, b_col] = case.b_strides().map(usize::cast_signed);
    let parallelism = match case.threads {
        1 => gemm::Parallelism::None,
        threads => gemm::Parallelism::Rayon(threads),
    };
    // SAFETY: the slices hold m * k, k * n and m * n values, which the strides stay within.
    unsafe {
        gemm::gemm(
            m, n, k, c.as_mut_ptr(), 1, n.cast_signed(), false, case.a.as_ptr(), a_col, a_row,
            case.b.as_ptr(), b_col, b_row, 0.0, 1.0, false, false, false, parallelism,
        );
    }
}

fn rten(case: &Case<'_>, c: &mut [f32]) {
    thread_local!(static EXECUTOR: GemmExecutor = GemmExecutor::new());
    let Shape { m, k, n, .. } = case.shape;
    let a = NdTensorView::from_data_with_strides([m, k], &case.a[..m * k], case.a_strides());
    let b = NdTensorView::from_data_with_strides([k, n], &case.b[..k * n], case.b_strides());
    let a = GemmInputA::Unpacked(a.expect("a dense matrix"));
    let b = GemmInputB::Unpacked(b.expect("a dense matrix"));
    let options = GemmOptions { alpha: 1.0, beta: 0.0, bias: None, a_quant: None, b_quant: None };
    EXECUTOR.with(|e| e.gemm(c, a, b, options)).expect("shapes that fit");
}

fn matrixmultiply(case: &Case<'_>, c: &mut [f32]) {
    let Shape { m, k, n, .. } = case.shape;
    let [a_row, a_col] = case.a_strides().map(usize::cast_signed);
    let [b_row, b_col] = case.b_strides().map(usize::cast_signed);
    // SAFETY: as in `gemm`.
    unsafe {
        matrixmultiply::sgemm(
            m, k, n, 1.0, case.a.as_ptr(), a_row, a_col, case.b.as_ptr(), b_row, b_col, 0.0,
            c.as_mut_ptr(), n.cast_signed(), 1,
        );
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

fn main() {
    let names = PRODUCTS.map(|(name, _)| format!("{name:>15}")).concat();
    let Some(threads) = std::env::args().nth(1) else {
        println!("{:36} {:>7} {names}", "M x K x N", "threads");
        // A process for each number of threads, which matrixmultiply reads only once.
        let program = std::env::current_exe().expect("the path of this program");
        for threads in ["1", "2"] {
            let mut process = Command::new(&program);
            process.arg(threads).env("MATMUL_NUM_THREADS", threads);
            assert!(process.status().expect("a process").success());
        }
        return;
    };
    let threads = threads.parse().expect("a number of threads");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    for shape in SHAPES {
        let Shape { batch, m, k, n, .. } = shape;
        let (a, b) = (values(batch * m * k), values(batch * k * n));
        let rates = pool.install(|| rates(&Case { shape, a: &a, b: &b, threads }));
        println!("{shape:36} {threads:>7} {}", rates.map(|r| format!("{r:15.1}")).concat());
    }
}

fn rates(case: &Case<'_>) -> [f64; 4] {
    let Shape { batch, m, k, n, .. } = case.shape;
    let flops = 2.0 * (batch * m * k * n) as f64;
    let calls = ((5e7 / flops) as usize).clamp(1, 10_000);
    let mut c = vec![0.0; batch * m * n];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for ((_, product), times) in PRODUCTS.iter().zip(&mut times) {
            product(case, &mut c);
            let started = Instant::now();
            (0..calls).for_each(|_| product(case, &mut c));
            times.push(started.elapsed().as_secs_f64() / calls as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        flops / times[ROUNDS / 2] / 1e9
    })
}
