//! GFLOP/s of `C = A B` by tinytorch and by the Rust crates it could have used, in interleaved
//! rounds: `cargo run --release` in this folder. Each figure is the median of its rounds.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use std::time::Instant;
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::gemm::{Matrix, MatrixMut, Scaling};

const ROUNDS: usize = 15;

/// Rows, inner size, columns, and whether B is stored transposed, as a linear layer's weight is.
const SHAPES: [(usize, usize, usize, bool); 5] = [
    (1024, 1024, 1024, false),
    (128, 384, 1536, true),
    (64, 784, 512, true),
    (1, 4096, 4096, true),
    (64, 576, 3136, false),
];

type Product = fn(&Case<'_>, &mut [f32]);

struct Case<'a> {
    m: usize,
    k: usize,
    n: usize,
    a: &'a [f32],
    b: &'a [f32],
    /// Row and column stride of B.
    strides: (usize, usize),
    threads: usize,
}

const PRODUCTS: [(&str, Product); 4] =
    [("tinytorch", tinytorch), ("gemm", gemm), ("rten-gemm", rten), ("matrixmultiply", matrixmultiply)];

fn tinytorch(case: &Case<'_>, c: &mut [f32]) {
    let Case { m, k, n, a, b, strides: (rows, cols), .. } = *case;
    let (a, b) = (Matrix::new(a, m, k), Matrix::strided(b, k, n, rows, cols));
    let c = MatrixMut::new(c, m, n);
    tinytorch_kernels::f32::gemm::gemm(Isa::active(), a, b, c, &Scaling::default());
}

fn gemm(case: &Case<'_>, c: &mut [f32]) {
    let Case { m, k, n, a, b, strides: (rows, cols), threads } = *case;
    let parallelism = match threads {
        1 => gemm::Parallelism::None,
        threads => gemm::Parallelism::Rayon(threads),
    };
    let (rows, cols, step, width) = (rows as isize, cols as isize, k as isize, n as isize);
    // SAFETY: the slices hold m * k, k * n and m * n values, which the strides stay within.
    unsafe {
        gemm::gemm(
            m, n, k, c.as_mut_ptr(), 1, width, false, a.as_ptr(), 1, step, b.as_ptr(), cols, rows,
            0.0, 1.0, false, false, false, parallelism,
        );
    }
}

fn rten(case: &Case<'_>, c: &mut [f32]) {
    thread_local!(static EXECUTOR: GemmExecutor = GemmExecutor::new());
    let Case { m, k, n, a, b, strides: (rows, cols), .. } = *case;
    let a = NdTensorView::from_data_with_strides([m, k], a, [k, 1]).expect("a dense matrix");
    let b = NdTensorView::from_data_with_strides([k, n], b, [rows, cols]).expect("a dense matrix");
    let options = GemmOptions { alpha: 1.0, beta: 0.0, bias: None, a_quant: None, b_quant: None };
    EXECUTOR
        .with(|e| e.gemm(c, GemmInputA::Unpacked(a), GemmInputB::Unpacked(b), options))
        .expect("shapes that fit");
}

fn matrixmultiply(case: &Case<'_>, c: &mut [f32]) {
    let Case { m, k, n, a, b, strides: (rows, cols), .. } = *case;
    let (rows, cols, step, width) = (rows as isize, cols as isize, k as isize, n as isize);
    // SAFETY: as in `gemm`.
    unsafe {
        matrixmultiply::sgemm(
            m, k, n, 1.0, a.as_ptr(), step, 1, b.as_ptr(), rows, cols, 0.0, c.as_mut_ptr(), width, 1,
        );
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

fn main() {
    println!("{:28} {:>7} {}", "M x K x N", "threads", PRODUCTS.map(|(n, _)| format!("{n:>15}")).concat());
    for threads in [1, 2] {
        // Read by matrixmultiply at its first use.
        // SAFETY: no other thread runs yet, or reads the environment.
        unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        for (m, k, n, transposed) in SHAPES {
            let (a, b) = (values(m * k), values(k * n));
            let strides = if transposed { (1, k) } else { (n, 1) };
            let case = Case { m, k, n, a: &a, b: &b, strides, threads };
            let rates = pool.install(|| rates(&case));
            let name = format!("{m} x {k} x {n}{}", if transposed { ", B transposed" } else { "" });
            println!("{name:28} {threads:>7} {}", rates.map(|r| format!("{r:15.1}")).concat());
        }
    }
}

fn rates(case: &Case<'_>) -> [f64; 4] {
    let flops = 2.0 * (case.m * case.k * case.n) as f64;
    let calls = ((5e7 / flops) as usize).clamp(1, 10_000);
    let mut c = vec![0.0; case.m * case.n];
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
