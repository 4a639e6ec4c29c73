//! The shortcut without parameters.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Orders, Properties, ShortcutGeometry, View, ViewMut,
};
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::int8::Layout;

/// Every `stride`-th row and column of an image, its channels in the middle of `channels` others that
/// are zero: the shortcut without parameters of He et al. (2015), section 4.2, option A.
#[derive(Clone, Copy, Debug)]
pub struct PadShortcut(pub ShortcutGeometry);

impl PadShortcut {
    /// Calls `f(near, far)` with the offset of every kept pixel in the smaller image and in the larger
    /// one, `[batch, channels, height, width]` both.
    fn for_each_pixel(&self, input: &Shape, output: &Shape, mut f: impl FnMut(usize, usize)) {
        let ShortcutGeometry { stride, channels } = self.0;
        let (before, width) = (self.0.zeros_before(input[1]), input[3]);
        for image in 0..input[0] {
            for channel in 0..input[1] {
                let to = (image * channels + before + channel) * output[2] * output[3];
                let from = (image * input[1] + channel) * input[2] * width;
                for y in 0..output[2] {
                    let (to, from) = (to + y * output[3], from + y * stride * width);
                    (0..output[3]).for_each(|x| f(to + x, from + x * stride));
                }
            }
        }
    }

    /// Pixel by pixel: the channels of a pixel are copied together.
    fn pixels(&self, shape: &Shape, x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let ShortcutGeometry { stride, channels } = self.0;
        let (own, height, width) = (shape[1], shape[2], shape[3]);
        let before = self.0.zeros_before(own);
        let rows = (0..shape[0]).flat_map(|i| (0..height).step_by(stride).map(move |y| (i, y)));
        let pixels = rows.flat_map(|(i, y)| {
            (0..width).step_by(stride).map(move |x| ((i * height + y) * width + x) * own)
        });
        for (out, from) in out.chunks_exact_mut(channels.max(1)).zip(pixels) {
            out[before..before + own].copy_from_slice(&x[from..from + own]);
        }
    }
}

impl Compute for PadShortcut {
    fn name(&self) -> &'static str {
        "pad_shortcut"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.0.output(self.name(), &inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (shape, x) = (inputs[0].shape, inputs[0].f32()?);
        let output = self.shape(&[shape])?;
        out.fill(0.0);
        self.for_each_pixel(&shape, &output, |to, from| out[to] = x[from]);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            keeps_range: true,
            keeps_samples_apart: true,
            orders: Orders::Alike,
            ..Properties::default()
        }
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        mut output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        let x = inputs.need(0, self.name())?;
        match orders {
            [Layout::Nhwc, _] => self.pixels(&x.shape, x.f32()?, output.f32()?),
            [Layout::Nchw, _] => self.run(&[*x], output.f32()?, exec)?,
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }
}

impl Op for PadShortcut {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let dense = grad.contiguous()?;
        let (grad, output) = (dense.as_slice::<f32>()?, *dense.shape());
        let mut dx = Tensor::zeros(shape)?;
        let values = dx.as_mut_slice::<f32>()?;
        self.for_each_pixel(&shape, &output, |from, to| values[to] = grad[from]);
        Ok(vec![Some(dx)])
    }
}

impl Var {
    /// Every `stride`-th row and column of images `[batch, in, height, width]` with zero channels before
    /// and after theirs: `[batch, channels, ceil(height / stride), ceil(width / stride)]`. It adds to a
    /// convolution that strides and widens alike (He et al., 2015, option A).
    ///
    /// # Errors
    /// [`TensorError::Shape`](crate::tensor::TensorError::Shape) for a stride of 0 or fewer channels than the images have.
    pub fn pad_shortcut(&self, stride: usize, channels: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(PadShortcut(ShortcutGeometry { stride, channels }), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        for (stride, channels) in [(1, 2), (2, 5), (3, 4)] {
            let x = Tensor::randn([2, 2, 4, 5], 1.0, &mut crate::Rng::seed(1)).unwrap();
            gradcheck(|v, ctx| v[0].pad_shortcut(stride, channels, ctx), &[x], 1e-3).unwrap();
        }
    }

    #[test]
    fn pixels_are_skipped_and_channels_added_on_both_sides() {
        let x = Var::from(Tensor::arange(15).unwrap().reshape([1, 1, 3, 5]).unwrap());
        let y = x.pad_shortcut(2, 3, &mut Ctx::eval()).unwrap();
        assert_eq!(y.shape().dims(), [1, 3, 2, 3]);
        let mut expected = [0.0; 18];
        expected[6..12].copy_from_slice(&[0.0, 2.0, 4.0, 10.0, 12.0, 14.0]);
        assert_eq!(y.value().to_vec::<f32>().unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shortcut = |shape: &[usize], stride, channels| {
            let x = Var::from(Tensor::ones(shape).unwrap());
            x.pad_shortcut(stride, channels, &mut Ctx::eval())
        };
        assert!(shortcut(&[1, 2, 4, 4], 0, 4).is_err());
        assert!(shortcut(&[1, 2, 4, 4], 2, 1).is_err());
        assert!(shortcut(&[1, 2, 4], 2, 4).is_err());
        assert!(shortcut(&[0, 2, 0, 4], 2, 4).is_ok());
    }
}
