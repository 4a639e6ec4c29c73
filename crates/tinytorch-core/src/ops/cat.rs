//! Values joined.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Known, Orders, Properties, View, ViewMut, Viewed, for_dtype,
};
use crate::tensor::{Dtype, Shape, Tensor, TensorError, join};
use tinytorch_kernels::int8::Layout;

/// Values of one type laid one after the other along an axis; each gets its part of the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Cat {
    /// The axis.
    pub axis: usize,
}

impl Compute for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let shapes: Vec<Shape> = inputs.iter().flatten().map(|known| known.shape).collect();
        let dtype = inputs.iter().flatten().next().map_or(Dtype::F32, |known| known.dtype);
        Ok(vec![(join::joined(&shapes, self.axis)?, dtype)])
    }

    fn properties(&self) -> Properties {
        Properties {
            joins: true,
            keeps_samples_apart: self.axis > 0,
            orders: Orders::Alike,
            ..Properties::default()
        }
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let run = |shape: &Shape| shape[self.axis..].iter().product();
        let output = moves::only(outputs, self.name())?;
        for_dtype!(output.dtype(), T => join_runs::<T>(inputs.views(), run, output.values()?))
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        mut output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        if orders[0] == Layout::Nchw {
            return self.run_typed(inputs, &mut [output], exec);
        }
        // Rows, pixels and channels of an image are its second, third and last axis in memory.
        let from = [0, 3, 1, 2][self.axis];
        let run = |shape: &Shape| [0, 2, 3, 1][from..].iter().map(|&axis| shape[axis]).product();
        for_dtype!(output.dtype(), T => join_runs::<T>(inputs.views(), run, output.values()?))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }
}

/// Writes a run of each input in turn, as long as `run` says for its shape, until all are written.
fn join_runs<T: Viewed>(
    inputs: &[View<'_>],
    run: impl Fn(&Shape) -> usize,
    out: &mut [T],
) -> Result<()> {
    let total: usize = inputs.iter().map(|v| run(&v.shape)).sum();
    let mut start = 0;
    for input in inputs {
        let (len, values) = (run(&input.shape), input.values::<T>()?);
        if len > 0 {
            let rows = out.chunks_exact_mut(total).zip(values.chunks_exact(len));
            rows.for_each(|(row, values)| row[start..start + len].copy_from_slice(values));
        }
        start += len;
    }
    Ok(())
}

impl Op for Cat {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let mut start = 0;
        let part = |i: usize| {
            let end = start + saved.shape(i)[self.axis];
            let part = grad.slice(self.axis, start..end)?.contiguous()?;
            start = end;
            Ok(Some(part))
        };
        (0..saved.inputs_len()).map(part).collect()
    }
}

impl Var {
    /// Values laid one after the other along `axis`.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if other axes differ, [`TensorError::Axis`] for an axis outside the
    /// shape, [`TensorError::Shape`] without values.
    pub fn cat(values: &[&Var], axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Cat { axis }, values)
    }

    /// Values of equal shape as the entries of an axis inserted before `axis`.
    ///
    /// # Errors
    /// As [`Var::cat`], and [`TensorError::Mismatch`] if the shapes differ.
    pub fn stack(values: &[&Var], axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        if let [first, rest @ ..] = values
            && let Some(other) = rest.iter().find(|v| v.shape() != first.shape())
        {
            return Err(TensorError::Mismatch {
                op: "stack",
                left: *first.shape(),
                right: *other.shape(),
                expected: "the shapes must be equal",
            }
            .into());
        }
        let lifted = values.iter().map(|v| v.unsqueeze(axis, ctx)).collect::<Result<Vec<_>>>()?;
        Var::cat(&lifted.iter().collect::<Vec<_>>(), axis, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let mut rng = Rng::seed(1);
        for axis in 0..3 {
            let mut narrow = [2, 3, 2];
            narrow[axis] = 1;
            let x = [[2, 3, 2], narrow].map(|s| Tensor::randn(s, 1.0, &mut rng).unwrap());
            gradcheck(|v, ctx| Var::cat(&[&v[0], &v[1]], axis, ctx), &x, 1e-3).unwrap();
            let stacked = |v: &[Var], ctx: &mut Ctx<'_>| Var::stack(&[&v[0], &v[0]], axis, ctx);
            gradcheck(stacked, &x[..1], 1e-3).unwrap();
        }
    }

    #[test]
    fn running_agrees_with_the_tensor() {
        let x = Tensor::arange(12).unwrap().reshape([2, 3, 2]).unwrap();
        for axis in 0..3 {
            let got = Var::cat(&[&(&x).into(), &(&x).into()], axis, &mut Ctx::eval()).unwrap();
            let want = Tensor::cat::<f32>(&[x.clone(), x.clone()], axis).unwrap();
            assert_eq!(got.shape(), want.shape());
            assert_eq!(got.value().to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn images_in_either_order() {
        let mut rng = Rng::seed(3);
        let mut exec = Exec::new(tinytorch_kernels::Isa::active());
        for axis in 0..4 {
            let (mut narrow, mut whole) = ([2, 3, 4, 5], [2, 3, 4, 5]);
            (narrow[axis], whole[axis]) = (1, whole[axis] + 1);
            let images =
                [[2, 3, 4, 5], narrow].map(|shape| Tensor::randn(shape, 1.0, &mut rng).unwrap());
            let in_pixels = |x: &Tensor| x.permute(&[0, 2, 3, 1]).unwrap().contiguous().unwrap();
            let want = in_pixels(&Tensor::cat::<f32>(&images, axis).unwrap());
            let pixels = images.each_ref().map(in_pixels);
            let view =
                |i: usize| View { shape: *images[i].shape(), ..View::of(&pixels[i]).unwrap() };
            let mut got = Tensor::zeros(*want.shape()).unwrap();
            let output =
                ViewMut { shape: Shape::new(&whole).unwrap(), ..ViewMut::of(&mut got).unwrap() };
            let views = [view(0), view(1)];
            let inputs = Inputs::all(&views);
            Cat { axis }.run_images(&inputs, output, [Layout::Nhwc; 2], &mut exec).unwrap();
            assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap(), "{axis}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_errors() {
        let [a, b] = [[2, 3], [2, 2]].map(|s| Var::from(Tensor::ones(s).unwrap()));
        let mut ctx = Ctx::eval();
        assert!(Var::cat(&[&a, &b], 0, &mut ctx).is_err());
        assert!(Var::cat(&[&a], 2, &mut ctx).is_err());
        assert!(Var::cat(&[], 0, &mut ctx).is_err());
        assert!(Var::stack(&[&a, &b], 0, &mut ctx).is_err());
    }
}
