//! Channels standardized by fixed numbers.

use super::channels::for_each_plane;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View, image_dims};
use crate::tensor::{Shape, Tensor, TensorError};
use std::sync::Arc;

/// `(x - mean[c]) / std[c]` with fixed numbers for each channel `c`.
#[derive(Clone, Debug)]
pub struct Normalize {
    /// What is taken off each channel.
    pub mean: Arc<[f32]>,
    /// What each channel is divided by.
    pub std: Arc<[f32]>,
}

impl Compute for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (op, shape) = (self.name(), inputs[0]);
        let [_, channels, _, _] = image_dims(op, &shape)?;
        if [self.mean.len(), self.std.len()] != [channels; 2] {
            let (means, stds) = (self.mean.len(), self.std.len());
            let expected =
                format!("{means} means and {stds} deviations need images of as many channels");
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        Ok(shape)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        for_each_plane(&inputs[0].shape, inputs[0].f32()?, out, |channel, plane, out| {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            out.iter_mut().zip(plane).for_each(|(y, x)| *y = (x - mean) / std);
        });
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { standardizes: true, keeps_samples_apart: true, ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2)
    }
}

impl Op for Normalize {
    fn backward(&self, _: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let std = Tensor::from_vec(self.std.to_vec(), [self.std.len(), 1, 1])?;
        Ok(vec![Some(grad.div(&std)?)])
    }
}

impl Var {
    /// Each channel of images `[batch, channels, height, width]` less a mean and divided by a
    /// standard deviation, both `[channels]` and not trained.
    ///
    /// # Errors
    /// [`TensorError::Shape`] unless the image has as many channels as there are numbers.
    pub fn normalize(&self, mean: Arc<[f32]>, std: Arc<[f32]>, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Normalize { mean, std }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::gradcheck;

    fn normalize(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        x.normalize([1.0, 2.0].into(), [0.5, 4.0].into(), ctx)
    }

    #[test]
    fn gradient() {
        let x = Tensor::randn([2, 2, 2, 3], 1.0, &mut crate::Rng::seed(1)).unwrap();
        gradcheck(|v, ctx| normalize(&v[0], ctx), &[x], 1e-3).unwrap();
    }

    #[test]
    fn every_channel_has_its_own_numbers() {
        let x = Var::from(Tensor::from_vec(vec![1.0, 2.0, 2.0, 10.0], [1, 2, 1, 2]).unwrap());
        let y = normalize(&x, &mut Ctx::eval()).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [0.0, 2.0, 0.0, 2.0]);
    }

    #[test]
    fn other_images_are_refused() {
        for shape in [&[1, 3, 1, 2][..], &[2, 2]] {
            let x = Var::from(Tensor::ones(shape).unwrap());
            assert!(normalize(&x, &mut Ctx::eval()).is_err(), "{shape:?}");
        }
    }
}
