//! The scales of a weight.

use half::f16;
use tinytorch_kernels::int8 as kernels;

/// Values along the input that share a scale, in [`Granularity::Blocks`]: as many as fit an AVX2
/// register, and the size that other block formats (GGUF's Q8_0) use.
pub const BLOCK: usize = 32;

/// How many weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// All of them.
    PerTensor,
    /// Those of one output channel: a row of the weight.
    #[default]
    PerChannel,
    /// [`BLOCK`] neighbors along the input of one output channel, with a 16-bit scale.
    Blocks,
}

/// The scales of an int8 weight: `w = q * scale`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One for all.
    PerTensor(f32),
    /// One for each row.
    PerChannel(Box<[f32]>),
    /// `ceil(k / BLOCK)` for each row, row-major.
    Blocks(Box<[f16]>),
}

impl Scales {
    /// How many weights share one.
    pub fn granularity(&self) -> Granularity {
        match self {
            Scales::PerTensor(_) => Granularity::PerTensor,
            Scales::PerChannel(_) => Granularity::PerChannel,
            Scales::Blocks(_) => Granularity::Blocks,
        }
    }

    /// Bytes that the scales take.
    pub fn bytes(&self) -> usize {
        match self {
            Scales::PerTensor(_) => size_of::<f32>(),
            Scales::PerChannel(scales) => size_of_val(&scales[..]),
            Scales::Blocks(scales) => size_of_val(&scales[..]),
        }
    }

    /// The form that kernels take.
    pub fn as_kernel(&self) -> kernels::Scales<'_> {
        match self {
            Scales::PerTensor(scale) => kernels::Scales::PerTensor(*scale),
            Scales::PerChannel(scales) => kernels::Scales::PerChannel(scales),
            Scales::Blocks(scales) => kernels::Scales::Blocks { size: BLOCK, scales },
        }
    }

    /// Neighbors that share a scale in a row of `k`.
    pub fn run(&self, k: usize) -> usize {
        match self {
            Scales::PerTensor(_) | Scales::PerChannel(_) => k.max(1),
            Scales::Blocks(_) => BLOCK,
        }
    }

    /// The scale of entry `j` of row `i` of a weight with rows of `k`.
    pub fn at(&self, i: usize, j: usize, k: usize) -> f32 {
        match self {
            Scales::PerTensor(scale) => *scale,
            Scales::PerChannel(scales) => scales[i],
            Scales::Blocks(scales) => scales[i * k.div_ceil(BLOCK) + j / BLOCK].to_f32(),
        }
    }
}
