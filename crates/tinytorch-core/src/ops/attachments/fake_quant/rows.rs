//! Rounding row by row in training.

use crate::Result;
use crate::autograd::{Op, Saved};
use crate::graph::{Compute, Cost, Exec, View};
use crate::int8::QParams;
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::int8::min_max;

/// Every row rounded to 256 levels over its own range. The first `row_axes` axes number the rows.
/// Nothing lies outside its range, so the gradient passes unchanged (Bengio et al., 2013).
#[derive(Clone, Copy, Debug)]
pub(super) struct FakeQuantizeRows {
    pub(super) row_axes: usize,
}

impl Compute for FakeQuantizeRows {
    fn name(&self) -> &'static str {
        "fake_quantize_rows"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let x = inputs[0].f32()?;
        let rows: usize = inputs[0].shape.iter().take(self.row_axes).product();
        let len = (x.len() / rows.max(1)).max(1);
        for (x, out) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
            let (min, max) = min_max(exec.isa(), x)?;
            let params = QParams::from_range(min, max)?;
            for (y, &x) in out.iter_mut().zip(x) {
                *y = params.dequantize(params.quantize(x));
            }
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 8)
    }
}

impl Op for FakeQuantizeRows {
    fn backward(&self, _: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.clone())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::Ctx;

    #[test]
    fn rows_are_rounded_alone_and_gradients_pass() {
        let mut x = Tensor::randn([2, 3, 50], 1.0, &mut Rng::seed(1)).unwrap();
        x.as_mut_slice::<f32>().unwrap()[..50].iter_mut().for_each(|v| *v *= 1000.0);
        for (row_axes, len) in [(2, 50), (1, 150)] {
            let mut ctx = Ctx::eval().recording();
            let v = ctx.input(&x);
            let y = ctx.apply(FakeQuantizeRows { row_axes }, &[&v]).unwrap();
            let (floats, rounded) =
                (x.to_vec::<f32>().unwrap(), y.value().to_vec::<f32>().unwrap());
            for (x, y) in floats.chunks(len).zip(rounded.chunks(len)) {
                let (min, max) = x.iter().fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
                let half = 0.5001 * (max - min) / 255.0;
                assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() <= half));
            }
            let loss = y.sum(&mut ctx).unwrap();
            let grads = ctx.backward(&loss).unwrap();
            let ones = grads.of_input(&v).unwrap().to_vec::<f32>().unwrap();
            assert!(ones.iter().all(|&g| g == 1.0));
        }
    }
}
