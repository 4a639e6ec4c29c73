//! Batch norms that nothing took over.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Cost, Exec, ScaleShift, image_dims};
use crate::tensor::{Shape, TensorError};
use tinytorch_kernels::f32::functions::Affine;
use tinytorch_kernels::f32::map;

/// A batch norm that nothing could take over: each channel scaled and shifted.
#[derive(Debug)]
pub(in crate::plan) struct ScaleChannels(pub(in crate::plan) ScaleShift);

impl Action for ScaleChannels {
    fn name(&self) -> &'static str {
        "batch_norm2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [_, channels, _, _] = image_dims(self.name(), &inputs[0])?;
        if channels != self.0.scale.len() {
            let expected = format!("the images must have {} channels", self.0.scale.len());
            let (op, shape) = (self.name(), inputs[0]);
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        Ok(inputs[0])
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        exec.ran(Exec::FLOAT);
        let shape = &inputs.views[0].shape;
        let (channels, pixels) = (shape[1], (shape[2] * shape[3]).max(1));
        let planes = out.floats()?.chunks_exact_mut(pixels);
        for (i, (out, x)) in planes.zip(inputs.views[0].f32()?.chunks_exact(pixels)).enumerate() {
            let (scale, shift) = (self.0.scale[i % channels], self.0.shift[i % channels]);
            map(exec.isa(), Affine { scale, shift }, x, out);
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2)
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
