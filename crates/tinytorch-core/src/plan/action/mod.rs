//! What instructions do: each file holds one kind.

mod batch_norm;
mod between_levels;
mod conv_f32;
mod conv_int8;
mod copy;
mod dequantize;
mod eager;
mod linear_f32;
mod linear_int8;
mod quantize;
mod to_nchw;

pub(super) use batch_norm::ScaleChannels;
pub(super) use between_levels::BetweenLevels;
pub(super) use conv_f32::ConvF32;
pub(super) use conv_int8::ConvInt8;
pub(super) use copy::{Copy, copy};
pub(super) use dequantize::Dequantize;
pub(super) use eager::Eager;
pub(super) use linear_f32::LinearF32;
pub(super) use linear_int8::LinearInt8;
pub(super) use quantize::Quantize;
pub(super) use to_nchw::ToNchw;

use crate::Result;
use crate::graph::{Cost, Exec, GraphError, Known, Properties, View, ViewMut};
use crate::int8::{Encoding, QParams, QWeight};
use crate::tensor::{Dtype, Shape, Tensor, TensorError, elementwise};
use std::borrow::Cow;
use std::fmt;
use tinytorch_kernels::int8::{Output, RowParams};
use tinytorch_kernels::threads::product_int8_operations;

/// What an action reads.
pub(super) struct Operands<'a> {
    /// The values, in the order that the action was made for; levels are bytes.
    pub(super) views: &'a [View<'a>],
    /// What the levels of the first value stand for, if it has levels.
    pub(super) params: Option<RowParams<'a>>,
}

impl<'a> Operands<'a> {
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

/// The sum of two values, one of which stretches to the other.
fn add_stretched(
    shapes: [Shape; 2],
    values: [&[f32]; 2],
    op: &'static str,
    out: &mut [f32],
) -> Result<()> {
    let sum = shapes[0].broadcast(&shapes[1], op)?;
    let operands = [(&shapes[0], values[0]), (&shapes[1], values[1])];
    elementwise::zip_into(&sum, operands, |a, b| a + b, out);
    Ok(())
}

/// Operations of an int8 layer whose results are each the sum of `k` products, as thresholds count them.
fn int8_operations(cost: &Cost, k: usize) -> usize {
    product_int8_operations(cost.flops as usize / (2 * k.max(1)), k)
}

/// What an action writes.
pub(super) struct Target<'a, 'b> {
    /// Its outputs; levels are bytes.
    pub(super) outputs: &'a mut [ViewMut<'b>],
    /// How they are stored.
    pub(super) encoding: Encoding,
    /// What the levels of each row or image stand for, if each has its own.
    pub(super) params: &'a mut Vec<QParams>,
}

impl<'a> Target<'a, '_> {
    /// The one output's floats.
    fn floats(self) -> Result<&'a mut [f32]> {
        first(self.outputs)?.f32()
    }

    /// The one output's levels, and where to write what those of each row stand for.
    fn levels(self) -> Result<(&'a mut [u8], &'a mut Vec<QParams>)> {
        Ok((first(self.outputs)?.values()?, self.params))
    }

    /// The output as int8 kernels take it.
    fn kernel_output(self) -> Result<Output<'a>> {
        match self.encoding {
            Encoding::Static(params) => Ok(Output::U8 { data: self.levels()?.0, params }),
            _ => self.floats().map(Output::F32),
        }
    }
}

fn first<'a, 'b>(outputs: &'a mut [ViewMut<'b>]) -> Result<&'a mut ViewMut<'b>> {
    let none = GraphError::OutputCount { op: "plan", outputs: outputs.len() };
    Ok(outputs.first_mut().ok_or(none)?)
}

/// The work of an instruction. Shapes are logical: `[batch, channels, height, width]` whatever the
/// order in memory.
pub(super) trait Action: fmt::Debug + Send + Sync {
    /// What it does, fused parts included.
    fn name(&self) -> &'static str;

    /// The shape of the one output, of floats or levels.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let none = TensorError::Shape {
            op: self.name(),
            shape: inputs.first().copied().unwrap_or(Shape::SCALAR),
            expected: "this step has several outputs".into(),
        };
        Err(none.into())
    }

    /// Shape and type of every output; the type of levels is that of the floats they stand for.
    fn outputs(&self, inputs: &[Known<'_>]) -> Result<Vec<(Shape, Dtype)>> {
        let shapes: Vec<Shape> = inputs.iter().map(|known| known.shape).collect();
        Ok(vec![(self.shape(&shapes)?, Dtype::F32)])
    }

    /// The outputs themselves, if sizes and constants decide them.
    fn decided(&self, inputs: &[Known<'_>], exec: &mut Exec) -> Result<Option<Vec<Tensor>>> {
        let _ = (inputs, exec);
        Ok(None)
    }

    /// Whether the step stands between others and only gives a value another form.
    fn converts(&self) -> bool {
        false
    }

    /// The facts about the op that it runs as it is; those about other actions are in their methods.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Whether samples of a batch do not meet, see [`Properties::keeps_samples_apart`].
    fn keeps_samples_apart(&self) -> bool {
        self.properties().sets_samples_apart()
    }

    /// Whether it is shown the shapes of images in the order in which they lie in memory.
    fn reads_in_memory_order(&self) -> bool {
        false
    }

    /// Computes the output and notes the kernel in `exec`.
    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()>;

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
