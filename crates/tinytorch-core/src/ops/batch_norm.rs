//! Batch norm, of the batch in training and of statistics after it.

use super::channels::{Standard, batch_statistics, for_each_plane, gradient_sums};
use crate::Result;
use crate::autograd::{Ctx, Mode, Op, Param, Saved, Saves, Var};
use crate::graph::{
    BatchNorm, Compute, Cost, Edge, Exec, Graph, GraphError, Properties, ScaleShift, Step, View,
    image_dims,
};
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::f32::functions::Affine;
use tinytorch_kernels::f32::map;

const NAME: &str = "batch_norm2d";

/// What a batch norm computes with; each parameter is `[channels]`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormParams<'a> {
    /// The learned scale.
    pub weight: &'a Param,
    /// The learned shift.
    pub bias: &'a Param,
    /// Mean of the channel, as seen in training.
    pub running_mean: &'a Param,
    /// Variance of the channel, as seen in training.
    pub running_var: &'a Param,
    /// How far a batch moves the running statistics.
    pub momentum: f32,
    /// Added to the variance.
    pub eps: f32,
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` with running statistics: inputs `x`, `weight`,
/// `bias`, `mean`, `var`. The statistics have no gradient.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2d {
    /// Added to the variance.
    pub eps: f32,
}

/// The same with the statistics of the batch, which depend on `x`. With `r = 1 / sqrt(var + eps)`,
/// `x' = (x - mean) r` and sums over the `m` values of a channel,
/// `dx = weight r (g - sum g / m - x' sum(g x') / m)` (Ioffe and Szegedy, 2015).
#[derive(Clone, Debug)]
struct Batch {
    standard: Standard,
}

/// The shape rule of both: `[batch, channels, height, width]`, and one entry per channel in each of
/// the other inputs.
fn checked_shape(inputs: &[Shape]) -> Result<Shape> {
    let [_, channels, _, _] = image_dims(NAME, &inputs[0])?;
    for other in &inputs[1..] {
        if other.dims() != [channels] {
            return Err(TensorError::Mismatch {
                op: NAME,
                left: inputs[0],
                right: *other,
                expected: "every parameter needs one entry per channel",
            }
            .into());
        }
    }
    Ok(inputs[0])
}

fn cost(inputs: &[Shape], output: &Shape) -> Cost {
    Cost::per_element(inputs, output, 2)
}

impl Compute for BatchNorm2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs_needed(&self) -> usize {
        5
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        checked_shape(inputs)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let [x, weight, bias, mean, var] = [0, 1, 2, 3, 4].map(|i| inputs[i].f32());
        let (affine, isa) = (ScaleShift::new(weight?, bias?, mean?, var?, self.eps)?, exec.isa());
        for_each_plane(&inputs[0].shape, x?, out, |channel, x, out| {
            let (scale, shift) = (affine.scale[channel], affine.shift[channel]);
            map(isa, Affine { scale, shift }, x, out);
        });
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { normalizes_channels: true, keeps_samples_apart: true, ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        cost(inputs, output)
    }
}

impl Op for BatchNorm2d {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let shape = saved.shape(0);
        let values = |i: usize| saved.input(i)?.to_vec::<f32>();
        let (weight, mean) = (values(1)?, values(3)?);
        let standard = Standard::new(mean, &values(4)?, self.eps);
        let (x, g) = (saved.input(0)?.contiguous()?, grad.contiguous()?);
        let (x, g) = (x.as_slice::<f32>()?, g.as_slice::<f32>()?);
        let mut grads = vec![None; 5];
        if saved.needs(0) {
            let mut dx = vec![0.0; x.len()];
            for_each_plane(shape, g, &mut dx, |channel, g, dx| {
                let scale = weight[channel] * standard.inverse[channel];
                dx.iter_mut().zip(g).for_each(|(d, g)| *d = g * scale);
            });
            grads[0] = Some(Tensor::from_vec(dx, *shape)?);
        }
        if saved.needs(1) || saved.needs(2) {
            let (db, dw) = gradient_sums(exec.isa(), shape, g, x, &standard);
            grads[1] = Some(Tensor::from_vec(dw, *saved.shape(1))?);
            grads[2] = Some(Tensor::from_vec(db, *saved.shape(2))?);
        }
        Ok(grads)
    }

    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let constant = |i: usize| graph.constant_at(inputs[i], NAME).cloned();
        let norm = BatchNorm {
            weight: constant(1)?,
            bias: constant(2)?,
            mean: constant(3)?,
            variance: constant(4)?,
            eps: self.eps,
        };
        graph.push_optional(Step::BatchNorm2d(norm), &inputs[..1]).map(Some)
    }
}

impl Compute for Batch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs_needed(&self) -> usize {
        3
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        checked_shape(inputs)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs[i].f32());
        let (weight, bias) = (weight?, bias?);
        let Standard { mean, inverse } = &self.standard;
        for_each_plane(&inputs[0].shape, x?, out, |channel, x, out| {
            let scale = weight[channel] * inverse[channel];
            let (mean, bias) = (mean[channel], bias[channel]);
            out.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * scale + bias);
        });
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties { normalizes_channels: true, ..Properties::default() }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        cost(inputs, output)
    }
}

impl Op for Batch {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let shape = saved.shape(0);
        let weight = saved.input(1)?.to_vec::<f32>()?;
        let (x, g) = (saved.input(0)?.contiguous()?, grad.contiguous()?);
        let (x, g) = (x.as_slice::<f32>()?, g.as_slice::<f32>()?);
        let (db, dw) = gradient_sums(exec.isa(), shape, g, x, &self.standard);
        let mut grads = vec![None; 3];
        if saved.needs(0) {
            let per_value = 1.0 / (shape.len() / shape[1].max(1)).max(1) as f32;
            let mut dx = g.to_vec();
            for_each_plane(shape, x, &mut dx, |channel, x, dx| {
                let (mean, inverse) = (self.standard.mean[channel], self.standard.inverse[channel]);
                let (centre, slope) = (db[channel] * per_value, dw[channel] * per_value * inverse);
                let scale = weight[channel] * inverse;
                for (d, x) in dx.iter_mut().zip(x) {
                    *d = scale * (*d - centre - (x - mean) * slope);
                }
            });
            grads[0] = Some(Tensor::from_vec(dx, *shape)?);
        }
        grads[1] = Some(Tensor::from_vec(dw, *saved.shape(1))?);
        grads[2] = Some(Tensor::from_vec(db, *saved.shape(2))?);
        Ok(grads)
    }

    fn lower(&self, _: &mut Graph, _: &[Option<Edge>]) -> Result<Option<Edge>> {
        Err(GraphError::TrainingOnly { op: NAME }.into())
    }
}

impl Var {
    /// Every channel of `[batch, channels, height, width]` standardized, then scaled and shifted. In
    /// training the statistics are the batch's, and the running ones move towards them (with the
    /// variance divided by one less than the number of values, as in PyTorch) when the gradients are
    /// applied; in inference they are the running ones.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] unless every parameter has one entry per channel,
    /// [`TensorError::Shape`] unless there are four dimensions, or for training on a single value per
    /// channel, which has no variance.
    pub fn batch_norm2d(&self, norm: &BatchNormParams<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let BatchNormParams { running_mean, running_var, eps, momentum, .. } = *norm;
        let (weight, bias) = (ctx.param(norm.weight)?, ctx.param(norm.bias)?);
        if ctx.mode() == Mode::Eval {
            let (mean, var) = (ctx.param(running_mean)?, ctx.param(running_var)?);
            return ctx.apply(BatchNorm2d { eps }, &[self, &weight, &bias, &mean, &var]);
        }
        let shape = *self.shape();
        checked_shape(&[shape, *weight.shape(), *bias.shape()])?;
        checked_shape(&[shape, running_mean.shape(), running_var.shape()])?;
        let count = shape.len() / shape[1].max(1);
        if count < 2 {
            let expected = "training needs more than one value per channel".into();
            return Err(TensorError::Shape { op: NAME, shape, expected }.into());
        }
        let dense = self.value().contiguous()?;
        let (mean, var) = batch_statistics(ctx.isa(), &shape, dense.as_slice()?);
        let unbiased = count as f32 / (count - 1) as f32;
        let spread = var.iter().map(|v| v * unbiased).collect();
        ctx.update_buffer(running_mean, momentum, Tensor::from_vec(mean.clone(), [shape[1]])?);
        ctx.update_buffer(running_var, momentum, Tensor::from_vec(spread, [shape[1]])?);
        let standard = Standard::new(mean, &var, eps);
        ctx.apply(Batch { standard }, &[self, &weight, &bias])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Role, gradcheck};
    use crate::{Rng, Tensor};
    use tinytorch_kernels::Isa;

    const EPS: f32 = 1e-5;

    fn images(seed: u64) -> Tensor {
        Tensor::randn([3, 2, 2, 3], 2.0, &mut Rng::seed(seed)).unwrap()
    }

    fn vector(values: [f32; 2]) -> Tensor {
        Tensor::from_vec(values.to_vec(), [2]).unwrap()
    }

    #[test]
    fn gradients_with_running_statistics() {
        let (mean, var) = (Var::from(vector([0.5, -1.0])), Var::from(vector([2.0, 0.3])));
        let inputs = [images(1), vector([1.5, -0.5]), vector([0.1, 0.2])];
        let op = |v: &[Var], ctx: &mut Ctx<'_>| {
            ctx.apply(BatchNorm2d { eps: EPS }, &[&v[0], &v[1], &v[2], &mean, &var])
        };
        gradcheck(op, &inputs, 1e-3).unwrap();
    }

    #[test]
    fn gradients_with_batch_statistics() {
        let inputs = [images(1), vector([1.5, -0.5]), vector([0.1, 0.2])];
        let op = |v: &[Var], ctx: &mut Ctx<'_>| {
            let dense = v[0].value().contiguous()?;
            let (mean, var) = batch_statistics(Isa::active(), v[0].shape(), dense.as_slice()?);
            let standard = Standard::new(mean, &var, EPS);
            ctx.apply(Batch { standard }, &[&v[0], &v[1], &v[2]])
        };
        gradcheck(op, &inputs, 2e-3).unwrap();
    }

    /// Weight, bias, running mean and running variance of a norm that has seen nothing.
    fn fresh() -> [Param; 4] {
        let param = |value, role| Param::new(vector([value; 2]), role);
        [
            param(1.0, Role::Vector),
            param(0.0, Role::Vector),
            param(0.0, Role::Buffer),
            param(1.0, Role::Buffer),
        ]
    }

    fn norm_of([weight, bias, running_mean, running_var]: &[Param; 4]) -> BatchNormParams<'_> {
        BatchNormParams { weight, bias, running_mean, running_var, momentum: 0.1, eps: EPS }
    }

    #[test]
    fn training_standardizes_the_batch_and_moves_the_running_statistics() {
        let params = fresh();
        let mut ctx = Ctx::train(Rng::seed(0));
        let x = images(5);
        let y = Var::from(&x).batch_norm2d(&norm_of(&params), &mut ctx).unwrap();
        let (mean, var) = batch_statistics(Isa::active(), y.shape(), y.value().as_slice().unwrap());
        assert!(mean.iter().all(|m| m.abs() < 1e-6), "{mean:?}");
        assert!(var.iter().all(|v| (v - 1.0).abs() < 1e-4), "{var:?}");

        let loss = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let [mean_update, var_update] = grads.updates() else { panic!("two updates") };
        assert_eq!((mean_update.id, var_update.id), (params[2].id(), params[3].id()));
        let (mean, var) = batch_statistics(Isa::active(), x.shape(), x.as_slice().unwrap());
        assert_eq!(mean_update.value.to_vec::<f32>().unwrap(), mean);
        let unbiased = var_update.value.to_vec::<f32>().unwrap();
        // 3 images of 2 x 3 pixels are 18 values per channel.
        assert!((unbiased[0] - var[0] * 18.0 / 17.0).abs() < 1e-5);
        assert!(grads.of(&params[2]).is_none());
    }

    #[test]
    fn one_value_per_channel_cannot_be_trained_on() {
        let params = fresh();
        let run = |shape: [usize; 4], ctx: &mut Ctx<'_>| {
            Var::from(Tensor::ones(shape).unwrap()).batch_norm2d(&norm_of(&params), ctx)
        };
        let training = || Ctx::train(Rng::seed(0));
        let err = run([1, 2, 1, 1], &mut training()).unwrap_err();
        assert!(err.to_string().contains("more than one value per channel"), "{err}");
        assert!(run([1, 2, 1, 1], &mut Ctx::eval()).is_ok());
        assert!(run([1, 3, 2, 2], &mut Ctx::eval()).is_err());
        assert!(run([1, 3, 2, 2], &mut training()).is_err());
    }
}
