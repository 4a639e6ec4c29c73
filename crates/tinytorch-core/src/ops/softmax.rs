//! Softmax and its logarithm.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor, TensorError, lanes};
use tinytorch_kernels::f32::rows;

/// `e^x / sum e^x` along an axis, or its logarithm. The largest entry is subtracted first, which
/// changes nothing but keeps `e^x` from overflowing. From the gradient `g` of the output `y`:
/// `dx = y (g - sum(g y))`, and for the logarithm `dx = g - e^y sum g` (Bridle, 1990).
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// The axis whose entries add up to 1.
    pub axis: usize,
    /// Whether the logarithm is taken.
    pub log: bool,
}

impl Compute for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn properties(&self) -> Properties {
        Properties { keeps_samples_apart: self.axis > 0, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.axis >= inputs[0].rank() {
            let (op, axis, shape) = (self.name(), self.axis, inputs[0]);
            return Err(TensorError::Axis { op, axis, shape }.into());
        }
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (shape, isa) = (inputs[0].shape, exec.isa());
        if shape.is_empty() {
            return Ok(());
        }
        let (width, x) = (shape[self.axis], lanes::rows(&shape, self.axis, inputs[0].f32()?));
        let kernel = if self.log { rows::log_softmax } else { rows::softmax };
        lanes::write_rows(&shape, self.axis, out, |out| kernel(isa, width, &x, out));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 12)
    }
}

impl Op for Softmax {
    fn saves(&self) -> Saves {
        Saves::Output
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (shape, y, g) = (*saved.shape(0), saved.output()?, grad.contiguous()?);
        let mut dx = vec![0f32; shape.len()];
        if shape.is_empty() {
            return Ok(vec![Some(Tensor::from_vec(dx, shape)?)]);
        }
        let (width, isa) = (shape[self.axis], exec.isa());
        let [y, g] =
            [y, &g].map(|t| t.as_slice::<f32>().map(|v| lanes::rows(&shape, self.axis, v)));
        let (y, g) = (y?, g?);
        let kernel = if self.log { rows::log_softmax_backward } else { rows::softmax_backward };
        lanes::write_rows(&shape, self.axis, &mut dx, |dx| kernel(isa, width, &y, &g, dx));
        Ok(vec![Some(Tensor::from_vec(dx, shape)?)])
    }
}

impl Var {
    /// `e^x / sum e^x` along `axis`: positive numbers that add up to 1.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn softmax(&self, axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Softmax { axis, log: false }, &[self])
    }

    /// The logarithm of the softmax along `axis`, without the loss of precision of taking both.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn log_softmax(&self, axis: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Softmax { axis, log: true }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        for axis in 0..3 {
            gradcheck(|v, ctx| v[0].softmax(axis, ctx), &x, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].log_softmax(axis, ctx), &x, 1e-3).unwrap();
        }
        let scalar = Var::from(Tensor::scalar(1.0));
        assert!(scalar.softmax(0, &mut Ctx::eval()).is_err());
    }

    #[test]
    fn lanes_add_up_to_1_and_huge_entries_do_not_overflow() {
        let x = Tensor::randn([5, 7], 3.0, &mut Rng::seed(2)).unwrap();
        for axis in 0..2 {
            let y = Var::from(&x).softmax(axis, &mut Ctx::eval()).unwrap();
            let sums = y.value().sum_axis(axis, false).unwrap().to_vec::<f32>().unwrap();
            assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6), "{sums:?}");
            let log = Var::from(&x).log_softmax(axis, &mut Ctx::eval()).unwrap();
            let again = log.exp(&mut Ctx::eval()).unwrap();
            assert!(again.value().allclose(y.value(), 1e-5, 1e-7).unwrap());
        }
        let huge = Var::from(Tensor::from_vec(vec![1e30, -1e30, 1e30], [3]).unwrap());
        let y = huge.softmax(0, &mut Ctx::eval()).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [0.5, 0.0, 0.5]);
    }
}
