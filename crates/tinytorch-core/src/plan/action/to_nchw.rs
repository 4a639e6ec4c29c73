//! Images turned.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Cost, Exec, image_dims};
use crate::tensor::Shape;
use tinytorch_kernels::order::to_channels;

/// Floats pixel by pixel to channel by channel, for what reads no other order.
#[derive(Debug)]
pub(in crate::plan) struct ToNchw;

impl Action for ToNchw {
    fn name(&self) -> &'static str {
        "to_nchw"
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
        exec.ran(Exec::FLOAT);
        let [_, channels, height, width] = image_dims(self.name(), &inputs.views[0].shape)?;
        to_channels(exec.isa(), inputs.views[0].f32()?, channels, height * width, out.floats()?);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
