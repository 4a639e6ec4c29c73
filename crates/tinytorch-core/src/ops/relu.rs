//! The positive part.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::f32::{functions, map, map_backward};

/// The positive part, `max(x, 0)`; its derivative at 0 is 0, and NaN stays NaN.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Compute for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        map(exec.isa(), functions::Relu, inputs[0].f32()?, out);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            pointwise: true,
            keeps_range: true,
            positive_part: true,
            ..Properties::default()
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Relu {
    fn saves(&self) -> Saves {
        Saves::Output
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (y, g) = (saved.output()?.contiguous()?, grad.contiguous()?);
        let mut dx = vec![0f32; y.len()];
        // The output is positive where the input was.
        map_backward(exec.isa(), functions::Relu, y.as_slice()?, g.as_slice()?, &mut dx);
        Ok(vec![Some(Tensor::from_vec(dx, *y.shape())?)])
    }
}

impl Var {
    /// The positive part of every element.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn relu(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Relu, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::autograd::{Ctx, Var, gradcheck};

    #[test]
    fn gradient() {
        let x = Tensor::from_vec(vec![-2.0, -0.5, 0.5, 3.0], [4]).unwrap();
        gradcheck(|v, ctx| v[0].relu(ctx), &[x], 1e-3).unwrap();
    }

    #[test]
    fn nan_is_not_hidden() {
        let x = Var::from(Tensor::scalar(f32::NAN));
        assert!(x.relu(&mut Ctx::eval()).unwrap().value().item().unwrap().is_nan());
    }
}
