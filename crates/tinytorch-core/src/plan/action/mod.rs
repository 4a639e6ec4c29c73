//! What instructions do: each file holds one kind.

mod batch_norm;
mod conv_f32;
mod conv_int8;
mod copy;
mod eager;
mod linear_f32;
mod linear_int8;
mod max_pool;
mod pad_shortcut;
mod quantize;
mod to_nchw;

pub(super) use batch_norm::ScaleChannels;
pub(super) use conv_f32::ConvF32;
pub(super) use conv_int8::ConvInt8;
pub(super) use copy::Copy;
pub(super) use eager::Eager;
pub(super) use linear_f32::LinearF32;
pub(super) use linear_int8::LinearInt8;
pub(super) use max_pool::MaxPool;
pub(super) use pad_shortcut::PadShortcut;
pub(super) use quantize::Quantize;
pub(super) use to_nchw::ToNchw;

use crate::Result;
use crate::graph::{Cost, Exec, View};
use crate::int8::{QParams, QWeight};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};
use std::borrow::Cow;
use std::fmt;
use tinytorch_kernels::int8::{Output, RowParams};

/// Values an instruction reads at most, its constants included.
pub(super) const MAX_INPUTS: usize = 16;

/// What an action reads.
pub(super) struct Inputs<'a> {
    /// The values, in the order that the action was made for; levels are bytes.
    pub(super) views: &'a [View<'a>],
    /// What the levels of the first value stand for, if it has levels.
    pub(super) params: Option<RowParams<'a>>,
}

impl<'a> Inputs<'a> {
    /// The levels of the first value, and what they stand for.
    fn levels(&self) -> Result<(&'a [u8], RowParams<'a>)> {
        let x = &self.views[0];
        match (x.elements, self.params) {
            (crate::graph::Elements::U8(levels), Some(params)) => Ok((levels, params)),
            _ => Err(TensorError::Dtype { expected: Dtype::U8, got: x.dtype() }.into()),
        }
    }
}

/// The bias of an int8 layer with the weight's shift in it. A layer without a bias of its own reads the
/// shift where it is, see [`QWeight::shift`].
fn bias_and_shift(weight: &QWeight, bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    let Some(bias) = bias else { return Ok(None) };
    let (bias, shape) = (bias.contiguous()?, *bias.shape());
    match weight.offset(Some(bias.as_slice()?)) {
        Some(Cow::Owned(sum)) => Tensor::from_vec(sum, shape).map(Some),
        _ => Ok(Some(bias)),
    }
}

/// What an action writes.
pub(super) enum Target<'a> {
    Floats(&'a mut [f32]),
    Levels(&'a mut [u8], QParams),
    /// Levels, and what those of each row or image stand for.
    RowLevels(&'a mut [u8], &'a mut Vec<QParams>),
}

impl<'a> Target<'a> {
    /// The floats to write.
    fn floats(self) -> Result<&'a mut [f32]> {
        match self {
            Target::Floats(out) => Ok(out),
            Target::Levels(..) | Target::RowLevels(..) => {
                Err(TensorError::Dtype { expected: Dtype::F32, got: Dtype::U8 }.into())
            }
        }
    }

    /// The output as int8 kernels take it.
    fn kernel_output(self) -> Result<Output<'a>> {
        match self {
            Target::Levels(data, params) => Ok(Output::U8 { data, params }),
            other => other.floats().map(Output::F32),
        }
    }
}

/// The work of an instruction. Shapes are logical: `[batch, channels, height, width]` whatever the
/// order in memory.
pub(super) trait Action: fmt::Debug + Send + Sync {
    /// What it does, fused parts included.
    fn name(&self) -> &'static str;

    /// The output's shape.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Computes the output and notes the kernel in `exec`.
    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()>;

    /// What a run costs.
    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost;

    /// Whether the action would use several threads for work of this cost.
    fn shares_work(&self, cost: &Cost) -> bool;

    /// Bytes of the weights it holds or shares.
    fn weight_bytes(&self) -> usize {
        0
    }

    /// Bytes of a float weight that was packed, beside the model's own.
    fn packed_bytes(&self) -> usize {
        0
    }
}
