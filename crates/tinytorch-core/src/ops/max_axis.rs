//! The largest entry along an axis.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, reduce};

/// The largest entry along an axis, which is kept at size 1 or dropped. The gradient goes to the
/// first of the largest; NaN counts as largest, so that it is not hidden.
#[derive(Clone, Copy, Debug)]
pub struct MaxAxis {
    /// The axis.
    pub axis: usize,
    /// Whether the axis stays, with size 1.
    pub keep: bool,
}

/// The larger of two values; NaN counts as largest, so that it is not hidden.
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() && !a.is_nan() { b } else { a }
}

impl Compute for MaxAxis {
    fn name(&self) -> &'static str {
        "max_axis"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = reduce::reduced(self.name(), &inputs[0], self.axis, self.keep)?;
        reduce::require_entries(self.name(), &inputs[0], self.axis)?;
        Ok(shape)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.fill(f32::NEG_INFINITY);
        reduce::fold_axis(&inputs[0].shape, self.axis, inputs[0].f32()?, larger, out);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { flops: inputs[0].len() as u64, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for MaxAxis {
    fn saves(&self) -> Saves {
        Saves::Both
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let (len, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        let (x, y, g) = (saved.input(0)?.contiguous()?, saved.output()?, grad.contiguous()?);
        let (x, y, g) = (x.as_slice::<f32>()?, y.as_slice::<f32>()?, g.as_slice::<f32>()?);
        let mut dx = vec![0f32; x.len()];
        for (lane, (max, g)) in y.iter().zip(g).enumerate() {
            let first = lane / inner * len * inner + lane % inner;
            let is_max = |at: &usize| x[*at] == *max || x[*at].is_nan() && max.is_nan();
            if let Some(at) = (0..len).map(|i| first + i * inner).find(is_max) {
                dx[at] = *g;
            }
        }
        Ok(vec![Some(Tensor::from_vec(dx, shape)?)])
    }
}

impl Var {
    /// Largest entry along one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`](crate::tensor::TensorError::Axis) for an axis outside the shape,
    /// [`TensorError::Shape`](crate::tensor::TensorError::Shape) if the axis is empty.
    pub fn max_axis(&self, axis: usize, keep: bool, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(MaxAxis { axis, keep }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        // Distinct values at least 0.5 apart, so that no difference quotient changes the maximum.
        let mut values: Vec<f32> = (0..24).map(|i| i as f32 * 0.5).collect();
        Rng::seed(4).shuffle(&mut values);
        let x = [Tensor::from_vec(values, [2, 3, 4]).unwrap()];
        for axis in 0..3 {
            gradcheck(|v, ctx| v[0].max_axis(axis, axis == 1, ctx), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn the_first_of_equals_gets_the_gradient_and_nan_wins() {
        let mut ctx = Ctx::eval().recording();
        let x = Tensor::from_vec(vec![1.0, 3.0, 3.0, 0.0, f32::NAN, 9.0], [2, 3]).unwrap();
        let x = ctx.input(&x);
        let y = x.max_axis(1, false, &mut ctx).unwrap();
        let values = y.value().to_vec::<f32>().unwrap();
        assert!(values[0] == 3.0 && values[1].is_nan());
        let loss = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let dx = grads.of_input(&x).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(dx, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn an_empty_axis_has_no_maximum() {
        let x = Var::from(Tensor::zeros([2, 0]).unwrap());
        assert!(x.max_axis(1, false, &mut Ctx::eval()).is_err());
        assert!(x.max_axis(0, false, &mut Ctx::eval()).unwrap().value().is_empty());
    }
}
