//! The int8 matrix product: `y[m, n] = epilogue(sum over k of (a[m, k] - zero_point) * (w[n, k] - zero_point[n]))`.

use super::error::{check_length, checked_size};
use super::finish::{Finish, Target};
use super::operands::{Activations, Epilogue, Output};
use super::product::Product;
use super::rows::Rows;
use super::runs::Runs;
use super::{Int8Error, Panels};
use crate::{Isa, Ran, Scratch};

/// Multiplies activations by the transpose of a packed weight and says which kernel ran.
///
/// The output is row-major, `a.m` rows of `w.n()` values. The sums are exact; the epilogue's
/// floating-point operations are the same, in the same order, on every instruction set:
/// `f32(sum) * (activation scale * weight scale) + bias`, or with scales in blocks
/// `(sum over blocks of f32(block sum) * block scale) * activation scale + bias`. Activations of 16 bits are
/// summed in blocks in any case, of 512 values where scales come in none:
/// `(sum over blocks of f32(block sum)) * (activation scale * weight scale) + bias`.
///
/// ```
/// use tinytorch_kernels::int8::{
///     Activations, Epilogue, Output, Panels, QParams, RowParams, Scales, gemm,
/// };
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let weight = Panels::pack(&[1, 2, 3, -4], 2, 2)?;
/// let params = RowParams::Tensor(QParams { scale: 0.5, zero_point: 10 });
/// let x = Activations { data: &[12, 11], m: 1, k: 2, params }; // 1.0, 0.5
/// let epilogue = Epilogue { scales: Scales::PerTensor(2.0), bias: Some(&[0.0, 1.0]), relu: false };
/// let mut y = [0.0; 2];
/// gemm(Isa::active(), &x, &weight, &epilogue, Output::F32(&mut y), &mut Scratch::new())?;
/// assert_eq!(y, [4.0, 3.0]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// A length does not match its shape, or a scale is not usable.
pub fn gemm(
    isa: Isa,
    a: &Activations<'_>,
    w: &Panels,
    epilogue: &Epilogue<'_>,
    mut output: Output<'_>,
    scratch: &mut Scratch,
) -> Result<Ran, Int8Error> {
    if a.k != w.k() {
        return Err(Int8Error::InnerSize { activations: a.k, weights: w.k() });
    }
    let size = checked_size("the activations", &[a.m, a.k, a.params.level_bytes()])?;
    check_length("the activations", a.data.len(), size)?;
    a.params.check("the activations' scales", a.m)?;
    epilogue.check(w.n(), w.k(), w.zero_points())?;
    a.params.check_weights(w.zero_points(), &epilogue.scales)?;
    output.check(checked_size("the output", &[a.m, w.n()])?)?;
    let product = Product {
        m: a.m,
        rows: Rows { start: a.data, inner: a.m.max(1), outer_stride: 0, inner_stride: a.k },
        runs: Runs::contiguous(a.k),
        params: a.params,
        weight: w.packed(),
        epilogue: *epilogue,
        finish: Finish {
            target: Target::of(&mut output),
            row_stride: w.n(),
            column_stride: 1,
            columns: 0..w.n(),
            relu: epilogue.relu,
        },
    };
    Ok(product.run(isa, scratch))
}
