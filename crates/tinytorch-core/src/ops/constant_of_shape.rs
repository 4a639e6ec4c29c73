//! One value everywhere, in a shape that is a value itself.

use super::expand::shape_of;
use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// One value in the shape that a list of integers names.
#[derive(Clone, Debug)]
pub struct ConstantOfShape {
    value: Tensor,
}

impl ConstantOfShape {
    /// The one element of `value`, of its type.
    ///
    /// # Errors
    /// [`TensorError::NotScalar`] for another number of elements.
    pub fn new(value: &Tensor) -> Result<ConstantOfShape> {
        if value.len() != 1 {
            return Err(TensorError::NotScalar { shape: *value.shape() }.into());
        }
        Ok(ConstantOfShape { value: value.contiguous()? })
    }
}

impl Compute for ConstantOfShape {
    fn name(&self) -> &'static str {
        "constant_of_shape"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let sizes = known(inputs, 0, self.name())?.integers(self.name())?;
        Ok(vec![(shape_of(&sizes, self.name())?, self.value.dtype())])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(value: &Tensor, output: &mut ViewMut<'_>) -> Result<()> {
            output.values::<T>()?.fill(value.as_slice::<T>()?[0]);
            Ok(())
        }
        inputs.need(0, self.name())?;
        let output = moves::only(outputs, self.name())?;
        for_dtype!(self.value.dtype(), T => of::<T>(&self.value, output))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        Cost { flops: 0, read: 0, written: 4 * output.len() as u64 }
    }
}

impl Op for ConstantOfShape {
    fn backward(&self, _: &Saved, _: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

impl Var {
    /// The one element of `value` in the shape that this value, a list of integers, names.
    ///
    /// # Errors
    /// [`TensorError::NotScalar`] for a value of another number of elements, [`TensorError::Shape`] for
    /// negative sizes.
    pub fn filled_with(&self, value: &Tensor, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(ConstantOfShape::new(value)?, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_everywhere() {
        let sizes = Var::from(Tensor::from_vec(vec![2i64, 2], [2]).unwrap());
        let seven = Tensor::from_vec(vec![7i32], [1]).unwrap();
        let y = sizes.filled_with(&seven, &mut Ctx::eval()).unwrap();
        assert_eq!(y.shape().dims(), [2, 2]);
        assert_eq!(y.value().to_vec::<i32>().unwrap(), [7; 4]);
        assert!(sizes.filled_with(&Tensor::ones([2]).unwrap(), &mut Ctx::eval()).is_err());
        let negative = Var::from(Tensor::from_vec(vec![-2i64], [1]).unwrap());
        assert!(negative.filled_with(&seven, &mut Ctx::eval()).is_err());
    }
}
