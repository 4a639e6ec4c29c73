//! Arithmetic on two values.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, Properties, View, ViewMut, Viewed, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError, elementwise, view};
use tinytorch_kernels::f32::{functions, zip};

/// Broadcasting arithmetic on two values of one type, floats or integers. The gradient of a stretched operand is summed back to
/// its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b`.
    Mul,
    /// `a / b`; of integers, without the fraction.
    Div,
}

impl Binary {
    /// On integers, exactly; bytes wrap around.
    fn integers<T: Viewed>(
        &self,
        a: &View<'_>,
        b: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<()> {
        let op = self.name();
        let (x, y, shape) = (a.values::<T>()?, b.values::<T>()?, output.shape);
        let strides = [&a.shape, &b.shape].map(|from| view::stretched_strides(from, &shape));
        let mut out = output.values::<T>()?.iter_mut();
        let mut fault = None;
        let operands = [(&strides[0], 0), (&strides[1], 0)];
        view::for_each_row(&shape, operands, |starts, steps, n| {
            for (i, out) in (0..n).zip(&mut out) {
                let [x, y] = [x[starts[0] + i * steps[0]], y[starts[1] + i * steps[1]]];
                let (x, y) = (x.to_i64(), y.to_i64());
                let exact = match self {
                    Binary::Add => x.checked_add(y),
                    Binary::Sub => x.checked_sub(y),
                    Binary::Mul => x.checked_mul(y),
                    Binary::Div => x.checked_div(y),
                };
                let exact = exact.map(|z| wrapped(z, T::DTYPE));
                let exact = exact.filter(|z| T::from_i64(*z).to_i64() == *z);
                match exact {
                    Some(z) => *out = T::from_i64(z),
                    None => fault = Some(OpError::Integers { op, left: x, right: y }),
                }
            }
        });
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

/// A result as a byte holds it; integers that count anything are wider, and are refused instead.
fn wrapped(z: i64, dtype: Dtype) -> i64 {
    match dtype {
        Dtype::U8 => i64::from(z as u8),
        Dtype::I8 => i64::from(z as i8),
        _ => z,
    }
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

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (a, b) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        if a.dtype != b.dtype {
            return Err(TensorError::Dtype { expected: a.dtype, got: b.dtype }.into());
        }
        Ok(vec![(a.shape.broadcast(&b.shape, self.name())?, a.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        let output = moves::only(outputs, self.name())?;
        let (a, b) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        match output.dtype() {
            Dtype::I64 => self.integers::<i64>(a, b, output),
            Dtype::I32 => self.integers::<i32>(a, b, output),
            Dtype::U8 => self.integers::<u8>(a, b, output),
            Dtype::I8 => self.integers::<i8>(a, b, output),
            _ => self.run(inputs.views(), output.f32()?, exec),
        }
    }

    fn inputs_needed(&self) -> usize {
        2
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
    use super::*;
    use crate::autograd::gradcheck;
    use crate::{Rng, Tensor};

    #[test]
    fn integers_are_exact_or_refused() {
        let mut ctx = Ctx::eval();
        let large = i64::MAX - 1;
        let a = Var::from(Tensor::from_vec(vec![large, -7], [2]).unwrap());
        let [one, two, zero] =
            [1i64, 2, 0].map(|v| Var::from(Tensor::from_vec(vec![v], [1]).unwrap()));
        let values = |v: Result<Var>| v.unwrap().value().to_vec::<i64>().unwrap();
        assert_eq!(values(a.add(&one, &mut ctx)), [i64::MAX, -6]);
        assert_eq!(values(a.div(&two, &mut ctx)), [large / 2, -3]);
        let error = a.mul(&two, &mut ctx).unwrap_err();
        assert!(error.to_string().contains("fits no integer"), "{error}");
        assert!(a.div(&zero, &mut ctx).is_err());
        assert!(a.add(&Tensor::scalar(1.0).into(), &mut ctx).is_err());
        let byte = Var::from(Tensor::from_vec(vec![200u8], [1]).unwrap());
        let sum = byte.add(&byte, &mut ctx).unwrap();
        assert_eq!(sum.value().to_vec::<u8>().unwrap(), [144]);
    }

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
