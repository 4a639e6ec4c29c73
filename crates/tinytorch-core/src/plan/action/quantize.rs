//! Floats to levels.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Cost, Exec, quantize_images, quantize_rows};
use crate::int8::Encoding;
use crate::tensor::Shape;
use tinytorch_kernels::Ran;
use tinytorch_kernels::int8::Layout;
use tinytorch_kernels::threads::{QUANTIZE, QUANTIZE_ROWS};

/// Floats to levels, as the layer that reads them says.
#[derive(Debug)]
pub(in crate::plan) struct Quantize {
    pub(in crate::plan) input: Encoding,
    /// The order of images for a convolution, which reads them pixel by pixel; `None` for rows.
    pub(in crate::plan) images: Option<Layout>,
}

impl Quantize {
    /// Whether a level has 16 bits.
    fn is_wide(&self) -> bool {
        self.input == Encoding::PerRow16
    }
}

impl Action for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn converts(&self) -> bool {
        true
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let (x, shape) = (inputs.views[0].f32()?, &inputs.views[0].shape);
        let (out, params) = out.levels()?;
        exec.ran(Ran::float(if self.is_wide() { "quantize_u16" } else { "quantize_u8" }));
        // With one channel both orders are the same, and rows are quantized faster.
        if self.images == Some(Layout::Nchw) && shape[1] != 1 {
            return quantize_images(exec.isa(), self.input, x, shape, out, params);
        }
        let rows = if self.images.is_some() { shape[0] } else { x.len() / shape.last_dim().max(1) };
        quantize_rows(exec.isa(), self.input, x, rows, out, params)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let len = output.len() as u64;
        let written = if self.is_wide() { 2 * len } else { len };
        Cost { flops: 2 * len, read: 4 * inputs[0].len() as u64, written }
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        let own_ranges = !matches!(self.input, Encoding::Static(_));
        let threshold = if own_ranges && self.images.is_none() { QUANTIZE_ROWS } else { QUANTIZE };
        threshold.is_shared(cost.read as usize / size_of::<f32>())
    }
}
