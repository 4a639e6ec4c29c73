//! Float products of other Rust crates.

use crate::case::{Case, Product, Work};
use crate::engine::Engine;
use crate::serve::Variant;
use anyhow::{Result, bail};
use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use tinytorch::Tensor;

/// Factors, and the threads that multiply them.
#[derive(Clone, Copy)]
struct Factors<'a> {
    shape: Product,
    a: &'a [f32],
    b: &'a [f32],
    threads: usize,
}

impl Factors<'_> {
    /// Distances between the rows and between the columns of A.
    fn a_strides(&self) -> [usize; 2] {
        if self.shape.a_transposed { [1, self.shape.m] } else { [self.shape.k, 1] }
    }

    fn b_strides(&self) -> [usize; 2] {
        if self.shape.b_transposed { [1, self.shape.k] } else { [self.shape.n, 1] }
    }
}

type Multiply = fn(&Factors<'_>, &mut [f32]);

/// The ways in which a crate runs a case, on the threads of the pool that this is called in.
pub(crate) fn prepare(engine: Engine, case: &Case) -> Result<Vec<Variant>> {
    let multiply: Multiply = match engine {
        Engine::Gemm => gemm,
        Engine::RtenGemm => rten,
        Engine::Matrixmultiply => matrixmultiply,
        _ => bail!("{} is no crate that multiplies", engine.name()),
    };
    let Work::Product(shape) = case.work else { bail!("{} only multiplies", engine.name()) };
    let (a, b) = (case.read("a")?.to_vec::<f32>()?, case.read("b")?.to_vec::<f32>()?);
    let mut c = vec![0.0; shape.batch * shape.m * shape.n];
    let threads = rayon::current_num_threads();
    let product = move |c: &mut [f32]| {
        one_by_one(&Factors { shape, a: &a, b: &b, threads }, c, multiply);
    };
    product(&mut c);
    let output = Tensor::from_vec(c.clone(), [shape.batch, shape.m, shape.n])?;
    let call = move || {
        product(&mut c);
        Ok(())
    };
    Ok(vec![Variant { name: "f32", output, call: Box::new(call) }])
}

/// A batch as a crate without batches computes it: the threads share the products.
fn one_by_one(factors: &Factors<'_>, c: &mut [f32], multiply: Multiply) {
    let Product { batch, m, k, n, .. } = factors.shape;
    if batch == 1 {
        return multiply(factors, c);
    }
    let item = |(i, c): (usize, &mut [f32])| {
        let (a, b) = (&factors.a[i * m * k..], &factors.b[i * k * n..]);
        multiply(&Factors { a, b, threads: 1, ..*factors }, c);
    };
    match factors.threads {
        1 => c.chunks_exact_mut(m * n).enumerate().for_each(item),
        _ => c.par_chunks_exact_mut(m * n).enumerate().for_each(item),
    }
}

fn gemm(factors: &Factors<'_>, c: &mut [f32]) {
    let Product { m, k, n, .. } = factors.shape;
    let [a_row, a_col] = factors.a_strides().map(usize::cast_signed);
    let [b_row, b_col] = factors.b_strides().map(usize::cast_signed);
    let parallelism = match factors.threads {
        1 => gemm::Parallelism::None,
        threads => gemm::Parallelism::Rayon(threads),
    };
    // SAFETY: the slices hold m * k, k * n and m * n values, which the strides stay within.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n.cast_signed(),
            false,
            factors.a.as_ptr(),
            a_col,
            a_row,
            factors.b.as_ptr(),
            b_col,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn rten(factors: &Factors<'_>, c: &mut [f32]) {
    thread_local!(static EXECUTOR: GemmExecutor = GemmExecutor::new());
    let Product { m, k, n, .. } = factors.shape;
    let a = NdTensorView::from_data_with_strides([m, k], &factors.a[..m * k], factors.a_strides());
    let b = NdTensorView::from_data_with_strides([k, n], &factors.b[..k * n], factors.b_strides());
    // The strides are those of dense matrices of these sizes.
    let a = GemmInputA::Unpacked(a.expect("a dense matrix"));
    let b = GemmInputB::Unpacked(b.expect("a dense matrix"));
    let options = GemmOptions { alpha: 1.0, beta: 0.0, bias: None, a_quant: None, b_quant: None };
    EXECUTOR.with(|e| e.gemm(c, a, b, options)).expect("shapes that fit");
}

fn matrixmultiply(factors: &Factors<'_>, c: &mut [f32]) {
    let Product { m, k, n, .. } = factors.shape;
    let [a_row, a_col] = factors.a_strides().map(usize::cast_signed);
    let [b_row, b_col] = factors.b_strides().map(usize::cast_signed);
    // SAFETY: as in `gemm`.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            factors.a.as_ptr(),
            a_row,
            a_col,
            factors.b.as_ptr(),
            b_row,
            b_col,
            0.0,
            c.as_mut_ptr(),
            n.cast_signed(),
            1,
        );
    }
}
