use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor, elementwise};
use tinytorch_kernels::f32::{functions, zip};

/// Broadcasting arithmetic on two values. The gradient of a stretched operand is summed back to
/// its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

impl Compute for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].broadcast(&inputs[1], self.name())?)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (a, b) = (&inputs[0], &inputs[1]);
        let shape = a.shape.broadcast(&b.shape, self.name())?;
        if a.shape == b.shape {
            let (isa, a, b) = (exec.isa(), a.f32()?, b.f32()?);
            match self {
                Binary::Add => zip(isa, functions::Add, a, b, out),
                Binary::Sub => zip(isa, functions::Sub, a, b, out),
                Binary::Mul => zip(isa, functions::Mul, a, b, out),
                Binary::Div => zip(isa, functions::Div, a, b, out),
            }
            return Ok(());
        }
        let operands = [(&a.shape, a.f32()?), (&b.shape, b.f32()?)];
        match self {
            Binary::Add => elementwise::zip_into(&shape, operands, |a, b| a + b, out),
            Binary::Sub => elementwise::zip_into(&shape, operands, |a, b| a - b, out),
            Binary::Mul => elementwise::zip_into(&shape, operands, |a, b| a * b, out),
            Binary::Div => elementwise::zip_into(&shape, operands, |a, b| a / b, out),
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, sums: *self == Binary::Add, ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Binary {
    fn saves(&self) -> Saves {
        match self {
            Binary::Add | Binary::Sub => Saves::Shapes,
            Binary::Mul | Binary::Div => Saves::Inputs,
        }
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let left = || match self {
            Binary::Add | Binary::Sub => Ok(grad.clone()),
            Binary::Mul => grad.mul(saved.input(1)?),
            Binary::Div => grad.div(saved.input(1)?),
        };
        let right = || match self {
            Binary::Add => Ok(grad.clone()),
            Binary::Sub => grad.scale(-1.0),
            Binary::Mul => grad.mul(saved.input(0)?),
            Binary::Div => {
                let b = saved.input(1)?;
                grad.mul(saved.input(0)?)?.div(&b.mul(b)?)?.scale(-1.0)
            }
        };
        let give = |i: usize, g: &dyn Fn() -> Result<Tensor>| match saved.needs(i) {
            true => g()?.sum_to(saved.shape(i)).map(Some),
            false => Ok(None),
        };
        Ok(vec![give(0, &left)?, give(1, &right)?])
    }
}

impl Var {
    /// Sum, broadcasting.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the shapes do not broadcast.
    pub fn add(&self, other: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Binary::Add, &[self, other])
    }

    /// Difference, broadcasting.
    ///
    /// # Errors
    /// As [`Var::add`].
    pub fn sub(&self, other: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Binary::Sub, &[self, other])
    }

    /// Product, broadcasting.
    ///
    /// # Errors
    /// As [`Var::add`].
    pub fn mul(&self, other: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Binary::Mul, &[self, other])
    }

    /// Quotient, broadcasting.
    ///
    /// # Errors
    /// As [`Var::add`].
    pub fn div(&self, other: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Binary::Div, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::gradcheck;
    use crate::{Rng, Tensor};

    #[test]
    fn gradients_of_broadcast_arithmetic() {
        let mut rng = Rng::seed(1);
        for (a, b) in [([2, 3], [2, 3]), ([2, 3], [1, 3]), ([2, 1], [1, 3]), ([1, 1], [2, 3])] {
            let x = Tensor::randn(a, 1.0, &mut rng).unwrap();
            let y = Tensor::rand(b, 1.0, 2.0, &mut rng).unwrap();
            let inputs = [x, y];
            gradcheck(|v, ctx| v[0].add(&v[1], ctx), &inputs, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].sub(&v[1], ctx), &inputs, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].mul(&v[1], ctx), &inputs, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].div(&v[1], ctx), &inputs, 1e-3).unwrap();
        }
    }
}
