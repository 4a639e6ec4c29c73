//! Powers.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor};

/// `x^p` of every element; the derivative is `p x^(p - 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Pow(pub f32);

impl Pow {
    fn derivative(self, x: f32) -> f32 {
        // At p = 0 the function is constant, but 0 * 0^-1 would be NaN.
        if self.0 == 0.0 { 0.0 } else { self.0 * x.powf(self.0 - 1.0) }
    }
}

impl Compute for Pow {
    fn name(&self) -> &'static str {
        "pow"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(y, x)| *y = x.powf(self.0));
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 20)
    }
}

impl Op for Pow {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let slope = |g: f32, x: f32| g * self.derivative(x);
        Ok(vec![Some(grad.zip(saved.input(0)?, "pow", slope)?)])
    }
}

impl Var {
    /// Every element to the power of `exponent`: NaN below 0 unless the exponent is whole.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn pow(&self, exponent: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pow(exponent), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;

    #[test]
    fn gradients() {
        for exponent in [0.0, 1.0, 2.0, 3.0] {
            check(|x, ctx| x.pow(exponent, ctx), &[-2.0, -0.7, 0.4, 1.0, 2.5]);
        }
        check(|x, ctx| x.pow(-0.5, ctx), &[0.4, 0.9, 1.5, 3.0]);
        assert_eq!(Pow(0.0).derivative(0.0), 0.0);
    }
}
