//! Values as they are.

use super::{Action, Operands, Target, first};
use crate::Result;
use crate::graph::{Cost, Exec, Known, View, ViewMut, Viewed, for_dtype};
use crate::tensor::{Dtype, Shape, Tensor};

/// The elements as they are: a result that is an input of the plan, a constant, or read by another step.
#[derive(Debug)]
pub(in crate::plan) struct Copy;

/// Copies elements to an output of the same type and length.
pub(in crate::plan) fn copy(x: &View<'_>, out: &mut ViewMut<'_>) -> Result<()> {
    fn of<T: Viewed>(x: &View<'_>, out: &mut ViewMut<'_>) -> Result<()> {
        out.values::<T>()?.copy_from_slice(x.values()?);
        Ok(())
    }
    for_dtype!(x.dtype(), T => of::<T>(x, out))
}

impl Action for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn outputs(&self, inputs: &[Known<'_>]) -> Result<Vec<(Shape, Dtype)>> {
        Ok(vec![(inputs[0].shape, inputs[0].dtype)])
    }

    fn decided(&self, inputs: &[Known<'_>], _: &mut Exec) -> Result<Option<Vec<Tensor>>> {
        Ok(inputs[0].value.map(|value| vec![value.clone()]))
    }

    fn converts(&self) -> bool {
        true
    }

    fn keeps_samples_apart(&self) -> bool {
        true
    }

    fn run(&self, operands: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        exec.ran(Exec::FLOAT);
        copy(&operands.views[0], first(out.outputs)?)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
