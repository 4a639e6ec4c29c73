use super::{Action, Inputs, Target};
use crate::Result;
use crate::graph::{Cost, Exec};
use crate::tensor::Shape;

/// The elements as they are: a result that is an input of the plan, or a constant.
#[derive(Debug)]
pub(in crate::plan) struct Copy;

impl Action for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        exec.ran(Exec::FLOAT);
        out.floats()?.copy_from_slice(inputs.views[0].f32()?);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
