//! Levels to floats.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Cost, Exec};
use crate::int8::QParams;
use crate::tensor::Shape;
use tinytorch_kernels::Ran;
use tinytorch_kernels::int8::dequantize_u8;

/// Levels, or unsigned bytes from outside, to the floats that they stand for.
#[derive(Debug)]
pub(in crate::plan) struct Dequantize(pub(in crate::plan) QParams);

impl Action for Dequantize {
    fn name(&self) -> &'static str {
        "dequantize"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let levels = inputs.views[0].values::<u8>()?;
        dequantize_u8(exec.isa(), levels, self.0, out.floats()?)?;
        exec.ran(Ran::float("dequantize_u8"));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { read: inputs[0].len() as u64, ..Cost::per_element(&[], output, 2) }
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
