//! Sums and means.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError, reduce};

/// The sum of all elements times a factor: 1 for the sum, 1 / n for the mean.
#[derive(Clone, Copy, Debug)]
pub struct SumAll {
    /// Whether the sum is divided by the number of elements.
    pub mean: bool,
}

impl SumAll {
    fn factor(self, shape: &Shape) -> f32 {
        if self.mean { 1.0 / shape.len() as f32 } else { 1.0 }
    }
}

impl Compute for SumAll {
    fn name(&self) -> &'static str {
        if self.mean { "mean" } else { "sum" }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.mean && inputs[0].is_empty() {
            let expected = "the mean of no elements is undefined".into();
            return Err(TensorError::Shape { op: "mean", shape: inputs[0], expected }.into());
        }
        Ok(Shape::SCALAR)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        out[0] = reduce::sum(exec.isa(), inputs[0].f32()?) * self.factor(&inputs[0].shape);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { flops: inputs[0].len() as u64, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for SumAll {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = saved.shape(0);
        Ok(vec![Some(Tensor::full(grad.item()? * self.factor(shape), *shape)?)])
    }
}

/// The sum along one axis, which is kept at size 1 or dropped.
#[derive(Clone, Copy, Debug)]
pub struct SumAxis {
    /// The axis.
    pub axis: usize,
    /// Whether the axis stays, with size 1.
    pub keep: bool,
    /// Whether the sum is divided by the size of the axis.
    pub mean: bool,
}

impl SumAxis {
    fn factor(self, shape: &Shape) -> f32 {
        if self.mean { 1.0 / shape[self.axis] as f32 } else { 1.0 }
    }
}

impl Compute for SumAxis {
    fn name(&self) -> &'static str {
        if self.mean { "mean_axis" } else { "sum_axis" }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = reduce::reduced(self.name(), &inputs[0], self.axis, self.keep)?;
        if self.mean {
            reduce::require_entries(self.name(), &inputs[0], self.axis)?;
        }
        Ok(shape)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let shape = &inputs[0].shape;
        out.fill(0.0);
        reduce::fold_axis(shape, self.axis, inputs[0].f32()?, |a, b| a + b, out);
        let factor = self.factor(shape);
        if self.mean {
            out.iter_mut().for_each(|v| *v *= factor);
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { flops: inputs[0].len() as u64, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for SumAxis {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = saved.shape(0);
        let kept = grad.scale(self.factor(shape))?.reshape(shape.with(self.axis, 1))?;
        Ok(vec![Some(kept.broadcast_to(*shape)?.contiguous()?)])
    }
}

impl Var {
    /// Sum of all elements, a scalar.
    ///
    /// # Errors
    /// [`TensorError::Dtype`] unless the value is f32.
    pub fn sum(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(SumAll { mean: false }, &[self])
    }

    /// Mean of all elements, a scalar.
    ///
    /// # Errors
    /// [`TensorError::Shape`] if there are none.
    pub fn mean(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(SumAll { mean: true }, &[self])
    }

    /// Sum along one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn sum_axis(&self, axis: usize, keep: bool, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(SumAxis { axis, keep, mean: false }, &[self])
    }

    /// Mean along one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Shape`] if the axis is empty.
    pub fn mean_axis(&self, axis: usize, keep: bool, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(SumAxis { axis, keep, mean: true }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::gradcheck;
    use crate::{Rng, Tensor};

    #[test]
    fn gradients() {
        let x = Tensor::randn([2, 3, 2], 1.0, &mut Rng::seed(1)).unwrap();
        let inputs = [x];
        gradcheck(|v, ctx| v[0].sum(ctx), &inputs, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].mean(ctx), &inputs, 1e-3).unwrap();
        for axis in 0..3 {
            gradcheck(|v, ctx| v[0].sum_axis(axis, false, ctx), &inputs, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].mean_axis(axis, true, ctx), &inputs, 1e-3).unwrap();
        }
    }
}
