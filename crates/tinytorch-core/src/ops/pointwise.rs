//! Functions of each element.

use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor};
use std::fmt::Debug;
use tinytorch_kernels::f32::{Function, map, map_backward};

/// A function applied to every element; `dx = g f'(x)`. The kernel's function holds the formula, the
/// derivative and the cost; [`functions`](super::functions) has those of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Pointwise<F> {
    /// What people call it.
    pub name: &'static str,
    /// The function.
    pub f: F,
}

impl<F: Function + Debug + 'static> Compute for Pointwise<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        map(exec.isa(), self.f, inputs[0].f32()?, out);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, clips: self.f.bounds(), ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, F::COST as u64)
    }
}

impl<F: Function + Debug + 'static> Op for Pointwise<F> {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (x, g) = (saved.input(0)?.contiguous()?, grad.contiguous()?);
        let mut dx = vec![0f32; x.len()];
        map_backward(exec.isa(), self.f, x.as_slice()?, g.as_slice()?, &mut dx);
        Ok(vec![Some(Tensor::from_vec(dx, *x.shape())?)])
    }
}

/// Checks an op of one input by differences at these points.
#[cfg(test)]
pub(super) fn check(
    op: impl Fn(&crate::autograd::Var, &mut crate::autograd::Ctx<'_>) -> Result<crate::autograd::Var>,
    points: &[f32],
) {
    let x = Tensor::from_vec(points.to_vec(), [points.len()]).unwrap();
    crate::autograd::gradcheck(|v, ctx| op(&v[0], ctx), &[x], 1e-3).unwrap();
}
