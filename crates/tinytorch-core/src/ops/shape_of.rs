//! Sizes as values.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor};

/// The dimensions of a value of any type, as a list of i64. They are known before anything is computed.
#[derive(Clone, Copy, Debug)]
pub struct ShapeOf;

fn dims(shape: &Shape) -> impl Iterator<Item = i64> {
    shape.iter().map(|&dim| dim as i64)
}

impl Compute for ShapeOf {
    fn name(&self) -> &'static str {
        "shape"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let rank = known(inputs, 0, self.name())?.shape.rank();
        Ok(vec![(Shape::new(&[rank])?, Dtype::I64)])
    }

    fn decided(&self, inputs: &[Option<Known<'_>>], _: &mut Exec) -> Result<Option<Vec<Tensor>>> {
        let shape = known(inputs, 0, self.name())?.shape;
        Ok(Some(vec![Tensor::from_vec(dims(&shape).collect(), [shape.rank()])?]))
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let shape = inputs.need(0, self.name())?.shape;
        let output = moves::only(outputs, self.name())?;
        output.values::<i64>()?.iter_mut().zip(dims(&shape)).for_each(|(to, dim)| *to = dim);
        Ok(())
    }

    fn cost(&self, _: &[Shape], _: &Shape) -> Cost {
        Cost::default()
    }
}

impl Op for ShapeOf {
    fn backward(&self, _: &Saved, _: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

impl Var {
    /// The dimensions as a value of the pass, a list of i64: in a traced model they follow its input.
    ///
    /// # Errors
    /// None in practice.
    pub fn shape_of(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(ShapeOf, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dimensions_are_values() {
        let x = Var::from(Tensor::zeros([2, 0, 5]).unwrap());
        let shape = x.shape_of(&mut Ctx::eval()).unwrap();
        assert_eq!(shape.value().to_vec::<i64>().unwrap(), [2, 0, 5]);
    }
}
