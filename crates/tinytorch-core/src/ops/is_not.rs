//! Where an integer is another.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor};

/// 1 where an integer differs from `value`, else 0. There is no gradient.
#[derive(Clone, Copy, Debug)]
pub struct IsNot {
    /// What integers are compared with.
    pub value: i64,
}

impl Compute for IsNot {
    fn name(&self) -> &'static str {
        "is_not"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        for (out, &id) in out.iter_mut().zip(inputs[0].i64()?) {
            *out = if id == self.value { 0.0 } else { 1.0 };
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let read = 8 * inputs[0].len() as u64;
        Cost { read, ..Cost::per_element(inputs, output, 1) }
    }
}

impl Op for IsNot {
    fn backward(&self, _: &Saved, _: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

impl Var {
    /// 1 where this value, integers as i64, differs from `value`, else 0: the mask of ids that are no
    /// padding.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is i64.
    pub fn is_not(&self, value: i64, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(IsNot { value }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::autograd::{Ctx, Var};

    #[test]
    fn padding_is_0_and_the_rest_1() {
        let ids = Var::from(Tensor::from_vec(vec![0i64, 7, -1, 7], [2, 2]).unwrap());
        let mask = ids.is_not(7, &mut Ctx::eval()).unwrap();
        assert_eq!(mask.value().to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0, 0.0]);
        let floats = Var::from(Tensor::ones([2]).unwrap());
        assert!(floats.is_not(7, &mut Ctx::eval()).is_err());
    }
}
