//! tinytorch's products.

use crate::case::{Case, Product, ZERO_POINT};
use crate::serve::Variant;
use anyhow::Result;
use tinytorch::{Isa, Tensor};
use tinytorch_kernels::Scratch;
use tinytorch_kernels::f32::gemm::{
    BatchDim, Matrix, MatrixMut, PackedB, Scaling, gemm, gemm_batched,
};
use tinytorch_kernels::int8::{
    self, Activations, Epilogue, Output, Panels, QParams, RowParams, Scales,
};

pub(super) fn prepare(case: &Case, shape: Product) -> Result<Vec<Variant>> {
    let mut variants = Vec::new();
    if case.wants("f32") {
        variants.push(float(case, shape)?);
    }
    if case.wants("f32, B known") {
        variants.push(packed(case, shape)?);
    }
    if case.wants("int8") {
        variants.push(int8(case, shape)?);
    }
    Ok(variants)
}

/// Both factors as they come.
fn float(case: &Case, shape: Product) -> Result<Variant> {
    let Product { batch, m, k, n, a_transposed, b_transposed } = shape;
    let (a, b) = (case.read("a")?, case.read("b")?);
    let product = move |c: &mut [f32]| -> Result<()> {
        let (a, b) = (a.as_slice()?, b.as_slice()?);
        let items = BatchDim { len: batch, a_stride: m * k, b_stride: k * n, c_stride: m * n };
        let a = if a_transposed { Matrix::new(a, k, m).t() } else { Matrix::new(a, m, k) };
        let b = if b_transposed { Matrix::new(b, n, k).t() } else { Matrix::new(b, k, n) };
        let (isa, c) = (Isa::active(), MatrixMut::new(c, m, n));
        gemm_batched(isa, &[items], a, b, c, &Scaling::default());
        Ok(())
    };
    variant("f32", [batch, m, n], product)
}

/// The second factor packed once, as a plan does with weights; a single row takes it as it is.
fn packed(case: &Case, shape: Product) -> Result<Variant> {
    let Product { m, k, n, .. } = shape;
    let (a, b) = (case.read("a")?, case.read("b")?);
    // As a layer has its weight, [out, in].
    let weight = b.reshape([k, n])?.transpose(0, 1)?.contiguous()?;
    let packed = match m {
        1 => None,
        _ => Some(PackedB::new(Isa::active(), Matrix::new(weight.as_slice()?, n, k).t())),
    };
    let product = move |c: &mut [f32]| -> Result<()> {
        let (isa, a, c) =
            (Isa::active(), Matrix::new(a.as_slice()?, m, k), MatrixMut::new(c, m, n));
        match &packed {
            Some(b) => gemm(isa, a, b, c, &Scaling::default()),
            None => gemm(isa, a, Matrix::new(weight.as_slice()?, n, k).t(), c, &Scaling::default()),
        }
        Ok(())
    };
    variant("f32, B known", [1, m, n], product)
}

/// Levels in, floats out; the sums are exact.
fn int8(case: &Case, shape: Product) -> Result<Variant> {
    let Product { m, k, n, .. } = shape;
    let (a, b) = (case.read("a_levels")?, case.read("b_levels")?);
    let weight = b.transpose(0, 1)?.to_vec::<i8>()?;
    let weight = Panels::pack(&weight, n, k)?.with_sums();
    let mut scratch = Scratch::new();
    let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: ZERO_POINT });
    let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
    let product = move |c: &mut [f32]| -> Result<()> {
        let activations = Activations { data: a.as_slice()?, m, k, params };
        int8::gemm(Isa::active(), &activations, &weight, &epilogue, Output::F32(c), &mut scratch)?;
        Ok(())
    };
    variant("int8", [1, m, n], product)
}

fn variant(
    name: &'static str,
    shape: [usize; 3],
    mut product: impl FnMut(&mut [f32]) -> Result<()> + 'static,
) -> Result<Variant> {
    let mut c = vec![0.0; shape.iter().product()];
    product(&mut c)?;
    let output = Tensor::from_vec(c.clone(), shape)?;
    Ok(Variant { name, output, call: Box::new(move || product(&mut c)) })
}
