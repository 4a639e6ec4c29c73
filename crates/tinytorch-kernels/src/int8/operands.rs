//! What products and convolutions are given and where their results go.

use half::f16;

use super::error::{check_length, checked_size};
use super::words::MOST_WORDS;
use super::{Int8Error, QParams};

/// How the rows of the activations were quantized.
#[derive(Copy, Clone, Debug)]
pub enum RowParams<'a> {
    /// All alike: static quantization.
    Tensor(QParams),
    /// Each on its own: dynamic quantization. One entry per row.
    PerRow(&'a [QParams]),
    /// Each on its own, to 16 bits: a value takes two bytes, a signed number in the order of the machine,
    /// see [`quantize_rows_i16`](super::quantize_rows_i16). One entry per row, whose zero point is 0.
    PerRow16(&'a [QParams]),
    /// All alike, to 16 bits, as the pixels of an image are.
    Tensor16(QParams),
}

impl RowParams<'_> {
    pub(super) fn of(&self, row: usize) -> QParams {
        match self {
            RowParams::Tensor(params) | RowParams::Tensor16(params) => *params,
            RowParams::PerRow(params) | RowParams::PerRow16(params) => params[row],
        }
    }

    /// Bytes of a value.
    pub fn level_bytes(&self) -> usize {
        match self {
            RowParams::Tensor(_) | RowParams::PerRow(_) => 1,
            RowParams::PerRow16(_) | RowParams::Tensor16(_) => 2,
        }
    }

    /// Refuses values of more than a byte.
    pub(super) fn check_bytes(&self, what: &'static str) -> Result<(), Int8Error> {
        if self.level_bytes() == 1 { Ok(()) } else { Err(Int8Error::EightBits { what }) }
    }

    pub(super) fn check(&self, what: &'static str, rows: usize) -> Result<(), Int8Error> {
        match self {
            RowParams::Tensor(params) => params.check(what),
            RowParams::PerRow(params) => {
                check_length(what, params.len(), rows)?;
                params.iter().try_for_each(|params| params.check(what))
            }
            RowParams::PerRow16(params) => {
                check_length(what, params.len(), rows)?;
                params.iter().try_for_each(|params| check_centered(params, what))
            }
            RowParams::Tensor16(params) => check_centered(params, what),
        }
    }

    /// Values along K whose products are summed in integers, for rows of `k` weights with these scales; all of them if `None`.
    pub(super) fn block(&self, scales: &Scales<'_>, k: usize) -> Option<usize> {
        let is_long = self.level_bytes() > 1 && k > MOST_WORDS;
        scales.block().or(is_long.then_some(MOST_WORDS))
    }

    /// Refuses weights that values of 16 bits cannot be multiplied with: those with `zero_points` of their own, and too
    /// long blocks.
    pub(super) fn check_weights(
        &self,
        zero_points: &[i8],
        scales: &Scales<'_>,
    ) -> Result<(), Int8Error> {
        if self.level_bytes() == 1 {
            return Ok(());
        }
        match scales.block() {
            Some(size) if size > MOST_WORDS => Err(Int8Error::LongBlock { size, most: MOST_WORDS }),
            _ if !zero_points.is_empty() => Err(Int8Error::ZeroPoints),
            _ => Ok(()),
        }
    }

    /// Whether some level other than 0 stands for 0, so that column sums are needed.
    pub(super) fn has_zero_point(&self) -> bool {
        match self {
            RowParams::Tensor(params) => params.zero_point != 0,
            RowParams::PerRow(params) => params.iter().any(|params| params.zero_point != 0),
            RowParams::PerRow16(_) | RowParams::Tensor16(_) => false,
        }
    }
}

fn check_centered(params: &QParams, what: &'static str) -> Result<(), Int8Error> {
    match params.zero_point {
        0 => params.check(what),
        zero_point => Err(Int8Error::NotCentered { zero_point }),
    }
}

/// Quantized activations: `m` rows of `k` values, row-major.
#[derive(Copy, Clone, Debug)]
pub struct Activations<'a> {
    /// The `m * k` values, each of as many bytes as `params` say.
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
    /// Values along K that have a scale of their own, if they have.
    pub(super) fn block(&self) -> Option<usize> {
        match self {
            Scales::Blocks { size, .. } => Some(*size),
            Scales::PerTensor(_) | Scales::PerChannel(_) => None,
        }
    }

    pub(super) fn check(&self, n: usize, k: usize, zero_points: &[i8]) -> Result<(), Int8Error> {
        const WHAT: &str = "the weight's scales";
        match self {
            Scales::PerTensor(_) => Ok(()),
            Scales::PerChannel(scales) => check_length(WHAT, scales.len(), n),
            Scales::Blocks { .. } if !zero_points.is_empty() => Err(Int8Error::ZeroPoints),
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
    /// Refuses scales and a bias that do not fit a weight with these zero points.
    pub(super) fn check(&self, n: usize, k: usize, zero_points: &[i8]) -> Result<(), Int8Error> {
        self.scales.check(n, k, zero_points)?;
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
}

/// How the values of an output image lie in memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Channel by channel.
    Nchw,
    /// Pixel by pixel.
    Nhwc,
}

/// A batch of quantized images: `batch * height * width * channels` values, NHWC, each of as many bytes as
/// `params` say.
#[derive(Copy, Clone, Debug)]
pub struct Images<'a> {
    /// The values.
    pub data: &'a [u8],
    /// Scales and zero points; where each row has its own, there is one entry per image. Padding is 0, that
    /// is, the zero point.
    pub params: RowParams<'a>,
}
