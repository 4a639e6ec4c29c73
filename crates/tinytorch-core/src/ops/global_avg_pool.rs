//! The mean of each channel.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Orders, Properties, View, image_dims};
use crate::tensor::{Shape, Tensor, TensorError, reduce};

/// The mean of each channel of each image; the gradient spreads evenly.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

impl Compute for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [batch, channels, h, w] = image_dims(self.name(), &inputs[0])?;
        if h * w == 0 {
            let expected = "the images must have pixels".into();
            let (op, shape) = (self.name(), inputs[0]);
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        Ok(Shape::new(&[batch, channels, 1, 1])?)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let pixels = inputs[0].shape[2] * inputs[0].shape[3];
        for (mean, plane) in out.iter_mut().zip(inputs[0].f32()?.chunks_exact(pixels)) {
            *mean = reduce::sum(exec.isa(), plane) / pixels as f32;
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            keeps_range: true,
            keeps_samples_apart: true,
            orders: Orders::ByChannelReduced,
            ..Properties::default()
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { flops: inputs[0].len() as u64, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for GlobalAvgPool {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let share = grad.scale(1.0 / (shape[2] * shape[3]) as f32)?;
        Ok(vec![Some(share.broadcast_to(shape)?.contiguous()?)])
    }
}

impl Var {
    /// The mean of each channel: `[batch, channels, height, width]` gives `[batch, channels, 1, 1]`.
    ///
    /// # Errors
    /// [`TensorError::Shape`] unless there are four dimensions and the images have pixels.
    pub fn global_avg_pool2d(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(GlobalAvgPool, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::gradcheck;

    #[test]
    fn gradient() {
        let x = Tensor::randn([2, 3, 2, 4], 1.0, &mut crate::Rng::seed(1)).unwrap();
        gradcheck(|v, ctx| v[0].global_avg_pool2d(ctx), &[x], 1e-3).unwrap();
    }

    #[test]
    fn each_channel_is_averaged_on_its_own() {
        let x = Var::from(Tensor::arange(8).unwrap().reshape([1, 2, 2, 2]).unwrap());
        let y = x.global_avg_pool2d(&mut Ctx::eval()).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [1.5, 5.5]);
        let empty = Var::from(Tensor::zeros([1, 2, 0, 2]).unwrap());
        assert!(empty.global_avg_pool2d(&mut Ctx::eval()).is_err());
    }
}
