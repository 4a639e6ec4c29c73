//! Transposed convolutions.

use super::conv2d_f32::conv2d;
use super::moves;
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, ConvGeometry, Cost, Exec, Inputs, View, ViewMut};
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::f32::conv as kernels;

/// What a convolution's gradient does to its input: inputs `x` `[n, in, h, w]` and a weight `[in, out / groups, kh, kw]`
/// give `[n, out, stride (h - 1) + span + extra - padding, ..]`, `span` being what a window covers. The gradient of `x` is
/// the convolution of that of the output, and the weight's is that of the same convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose2d {
    /// How the window of the convolution moves whose transpose this is.
    pub geometry: ConvGeometry,
    /// Rows below and columns right that no window reaches, fewer than the stride.
    pub extra: [usize; 2],
}

impl ConvTranspose2d {
    fn output(&self, x: &Shape, weight: &Shape) -> Result<Shape> {
        let op = self.name();
        let mismatch = |expected| TensorError::Mismatch { op, left: *x, right: *weight, expected };
        let ConvGeometry { stride, padding, dilation, groups } = self.geometry;
        let (&[batch, channels, ..], &[inner, per_group, ..]) = (x.dims(), weight.dims()) else {
            return Err(mismatch("the input is [batch, in, height, width], the weight [in, out / groups, height, width]").into());
        };
        if x.rank() != 4 || weight.rank() != 4 || channels != inner {
            return Err(
                mismatch("the weight's first dimension must be the input's channels").into()
            );
        }
        let outputs = per_group.checked_mul(groups);
        let outputs = outputs.ok_or_else(|| mismatch("the weight has too many groups"))?;
        self.geometry.check(outputs, channels, [weight[2], weight[3]])?;
        let size = |axis: usize| {
            let reach = x[axis + 2].checked_sub(1)?.checked_mul(stride[axis])?;
            let span = (weight[axis + 2] - 1).checked_mul(dilation[axis])?.checked_add(1)?;
            let all = reach.checked_add(span)?.checked_add(self.extra[axis])?;
            let border = padding[axis][0].checked_add(padding[axis][1])?;
            all.checked_sub(border).filter(|size| *size > 0)
        };
        let sizes = size(0).zip(size(1));
        let (height, width) = sizes.ok_or_else(|| mismatch("the padding must leave something"))?;
        let output = Shape::new(&[batch, outputs, height, width])?;
        // The convolution from there must come back here.
        match self.geometry.output(&output, weight)?.dims() == x.dims() {
            true => Ok(output),
            false => {
                Err(mismatch("the extra rows and columns must be fewer than the stride").into())
            }
        }
    }
}

impl Compute for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.output(&inputs[0], &inputs[1])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        let (x, weight) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        let sizes = self.geometry.kernel_shape(&output.shape, &weight.shape);
        let out = output.f32()?;
        out.fill(0.0);
        kernels::conv2d_backward_input(exec.isa(), &sizes, weight.f32()?, x.f32()?, out);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let taps: usize = inputs[1].iter().skip(1).product();
        let flops = 2 * inputs[0].len() as u64 * taps as u64;
        Cost { flops, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for ConvTranspose2d {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (saved.input(0)?.contiguous()?, saved.input(1)?.contiguous()?);
        let dense = grad.contiguous()?;
        let isa = exec.isa();
        let mut grads = vec![None, None];
        if saved.needs(0) {
            let mut dx = vec![0f32; x.len()];
            let (g, w) = (View::of(&dense)?, View::of(&weight)?);
            conv2d(isa, &self.geometry, &g, &w, None, &mut dx)?;
            grads[0] = Some(Tensor::from_vec(dx, *x.shape())?);
        }
        if saved.needs(1) {
            let sizes = self.geometry.kernel_shape(dense.shape(), weight.shape());
            let mut dw = vec![0f32; weight.len()];
            let (g, x) = (dense.as_slice()?, x.as_slice()?);
            kernels::conv2d_backward_weight(isa, &sizes, g, x, &mut dw);
            grads[1] = Some(Tensor::from_vec(dw, *weight.shape())?);
        }
        Ok(grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    #[test]
    fn gradients() {
        let plain = ConvGeometry::default();
        let cases = [
            (plain, [0, 0], [1, 2, 3, 2], [2, 3, 2, 2]),
            (plain.with_stride(2).with_padding(1), [1, 0], [2, 2, 3, 2], [2, 1, 3, 3]),
            (plain.with_groups(2).with_dilation(2), [0, 0], [1, 2, 2, 2], [2, 2, 2, 1]),
        ];
        for (geometry, extra, x, w) in cases {
            let mut rng = Rng::seed(1);
            let inputs = [x, w].map(|shape| Tensor::randn(shape, 1.0, &mut rng).unwrap());
            let op = ConvTranspose2d { geometry, extra };
            gradcheck(|v, ctx| ctx.apply(op, &[&v[0], &v[1]]), &inputs, 1e-3).unwrap();
        }
    }

    /// Each entry spreads the kernel.
    #[test]
    fn known_values() {
        let x = Var::from(Tensor::from_vec(vec![1.0, 2.0], [1, 1, 1, 2]).unwrap());
        let w = Var::from(Tensor::from_vec(vec![1.0, 10.0, 100.0], [1, 1, 1, 3]).unwrap());
        let geometry = ConvGeometry { stride: [1, 2], ..ConvGeometry::default() };
        let op = ConvTranspose2d { geometry, extra: [0, 1] };
        let y = Ctx::eval().apply(op, &[&x, &w]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [1.0, 10.0, 102.0, 20.0, 200.0, 0.0]);
        let op = ConvTranspose2d { geometry, extra: [0, 2] };
        assert!(Ctx::eval().apply(op, &[&x, &w]).is_err());
    }
}
