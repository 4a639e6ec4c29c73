//! The int8 matrix product: `y[m, n] = epilogue(sum over k of (a[m, k] - zero_point) * w[n, k])`.

use half::f16;

use super::error::{check_length, checked_size};
use super::finish::{Finish, Target};
use super::product::{Product, Rows, Runs};
use super::quantize::Levels;
use super::{Int8Error, Panels, QParams};
use crate::parallel::{SharedIn, SharedOut};
use crate::{Isa, Ran, Scratch};

/// How the rows of the activations were quantized.
#[derive(Copy, Clone, Debug)]
pub enum RowParams<'a> {
    /// All alike: static quantization.
    Tensor(QParams),
    /// Each on its own: dynamic quantization. One entry per row.
    PerRow(&'a [QParams]),
}

impl RowParams<'_> {
    pub(super) fn of(&self, row: usize) -> QParams {
        match self {
            RowParams::Tensor(params) => *params,
            RowParams::PerRow(params) => params[row],
        }
    }

    pub(super) fn check(&self, what: &'static str, rows: usize) -> Result<(), Int8Error> {
        match self {
            RowParams::Tensor(params) => params.check(what),
            RowParams::PerRow(params) => {
                check_length(what, params.len(), rows)?;
                params.iter().try_for_each(|params| params.check(what))
            }
        }
    }

    /// Whether some level other than 0 stands for 0, so that column sums are needed.
    pub(super) fn has_zero_point(&self) -> bool {
        match self {
            RowParams::Tensor(params) => params.zero_point != 0,
            RowParams::PerRow(params) => params.iter().any(|params| params.zero_point != 0),
        }
    }
}

/// Quantized activations: `m` rows of `k` values, row-major.
#[derive(Copy, Clone, Debug)]
pub struct Activations<'a> {
    /// The `m * k` values.
    pub data: &'a [u8],
    /// Rows.
    pub m: usize,
    /// Values in a row.
    pub k: usize,
    /// Scales and zero points.
    pub params: RowParams<'a>,
}

/// The scales of a weight.
#[derive(Copy, Clone, Debug)]
pub enum Scales<'a> {
    /// One for the whole weight.
    PerTensor(f32),
    /// One for each of the `n` output channels.
    PerChannel(&'a [f32]),
    /// One for each block of `size` values along K of each output channel.
    Blocks {
        /// Values in a block: a multiple of 4, usually 32.
        size: usize,
        /// `n` rows of `k.div_ceil(size)` scales, row-major.
        scales: &'a [f16],
    },
}

impl Scales<'_> {
    pub(super) fn check(&self, n: usize, k: usize) -> Result<(), Int8Error> {
        const WHAT: &str = "the weight's scales";
        match self {
            Scales::PerTensor(_) => Ok(()),
            Scales::PerChannel(scales) => check_length(WHAT, scales.len(), n),
            Scales::Blocks { size, scales } => {
                if *size == 0 || size % 4 != 0 {
                    return Err(Int8Error::BlockSize { size: *size });
                }
                check_length(WHAT, scales.len(), checked_size(WHAT, &[n, k.div_ceil(*size)])?)
            }
        }
    }
}

/// What happens to a sum before it is written: scales, then bias, then ReLU, and, where the output
/// is `u8`, quantizing.
#[derive(Copy, Clone, Debug)]
pub struct Epilogue<'a> {
    /// The weight's scales.
    pub scales: Scales<'a>,
    /// Added to each of the `n` columns.
    pub bias: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl Epilogue<'_> {
    pub(super) fn check(&self, n: usize, k: usize) -> Result<(), Int8Error> {
        self.scales.check(n, k)?;
        self.bias.map_or(Ok(()), |bias| check_length("the bias", bias.len(), n))
    }
}

/// Where results go.
#[derive(Debug)]
pub enum Output<'a> {
    /// As floats.
    F32(&'a mut [f32]),
    /// As floats, each the sum of a result and of another value.
    Sum {
        /// The sums. A ReLU is applied to them; it leaves NaN as it is.
        data: &'a mut [f32],
        /// What is added, in the order of the output.
        plus: &'a [f32],
    },
    /// Quantized again, for the next int8 layer.
    U8 {
        /// The values.
        data: &'a mut [u8],
        /// Their scale and zero point.
        params: QParams,
    },
}

impl Output<'_> {
    pub(super) fn check(&self, size: usize) -> Result<(), Int8Error> {
        match self {
            Output::F32(data) => check_length("the output", data.len(), size),
            Output::Sum { data, plus } => {
                check_length("what is added to the output", plus.len(), size)?;
                check_length("the output", data.len(), size)
            }
            Output::U8 { data, params } => {
                params.check("the output's scale")?;
                check_length("the output", data.len(), size)
            }
        }
    }

    pub(super) fn target(&mut self) -> Target {
        match self {
            Output::F32(data) => Target::F32(SharedOut::new(data)),
            Output::Sum { data, plus } => {
                Target::Sum { out: SharedOut::new(data), plus: SharedIn::new(plus) }
            }
            Output::U8 { data, params } => {
                Target::U8(SharedOut::new(data), Levels::unsigned(*params))
            }
        }
    }
}

/// Multiplies activations by the transpose of a packed weight and says which kernel ran.
///
/// The output is row-major, `a.m` rows of `w.n()` values. The sums are exact; the epilogue's
/// floating-point operations are the same, in the same order, on every instruction set:
/// `f32(sum) * (activation scale * weight scale) + bias`, or with scales in blocks
/// `(sum over blocks of f32(block sum) * block scale) * activation scale + bias`.
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
    check_length("the activations", a.data.len(), checked_size("the activations", &[a.m, a.k])?)?;
    a.params.check("the activations' scales", a.m)?;
    epilogue.check(w.n(), w.k())?;
    output.check(checked_size("the output", &[a.m, w.n()])?)?;
    let product = Product {
        m: a.m,
        rows: Rows { start: a.data, inner: a.m.max(1), outer_stride: 0, inner_stride: a.k },
        runs: Runs::contiguous(a.k),
        params: a.params,
        weight: w.packed(),
        epilogue: *epilogue,
        finish: Finish {
            target: output.target(),
            row_stride: w.n(),
            column_stride: 1,
            columns: 0..w.n(),
            relu: epilogue.relu,
        },
    };
    Ok(product.run(isa, scratch))
}
