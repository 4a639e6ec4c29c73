//! Normalization across neighboring channels.

use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError};

/// `x / (bias + alpha / size * sum of squares of the channels around)^beta` of `[batch, channels, ..]` (Krizhevsky et al.,
/// 2012). With `d` the base, `y = x d^-beta`, and a channel's gradient is
/// `g d^-beta - 2 alpha beta / size x * sum of (g y / d) of the channels that it counts in`.
#[derive(Clone, Copy, Debug)]
pub struct ResponseNorm {
    /// How many channels count: `(size - 1) / 2` before, and the rest behind.
    pub size: usize,
    /// The weight of their squares.
    pub alpha: f32,
    /// The power.
    pub beta: f32,
    /// What is added.
    pub bias: f32,
}

impl ResponseNorm {
    /// Calls `f(channel, first, end)` with the channels that count for each.
    fn for_each(self, channels: usize, mut f: impl FnMut(usize, usize, usize)) {
        let before = self.size.saturating_sub(1) / 2;
        for channel in 0..channels {
            let end = channel.saturating_add(self.size - before).min(channels);
            f(channel, channel.saturating_sub(before), end);
        }
    }

    fn bases(self, x: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
        let mut bases = vec![0f32; x.len()];
        for (x, bases) in
            x.chunks_exact(channels * pixels).zip(bases.chunks_exact_mut(channels * pixels))
        {
            self.for_each(channels, |channel, first, end| {
                let own = &mut bases[channel * pixels..][..pixels];
                for other in first..end {
                    let x = &x[other * pixels..][..pixels];
                    own.iter_mut().zip(x).for_each(|(sum, x)| *sum += x * x);
                }
                own.iter_mut()
                    .for_each(|sum| *sum = self.bias + self.alpha / self.size as f32 * *sum);
            });
        }
        bases
    }
}

impl Compute for ResponseNorm {
    fn name(&self) -> &'static str {
        "response_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if inputs[0].rank() < 2 || self.size == 0 {
            let expected =
                "the value is [batch, channels, ..], and at least one channel counts".into();
            return Err(TensorError::Shape { op: self.name(), shape: inputs[0], expected }.into());
        }
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (x, shape) = (inputs[0].f32()?, inputs[0].shape);
        if x.is_empty() {
            return Ok(());
        }
        let bases = self.bases(x, shape[1], shape[2..].iter().product());
        for (out, (x, base)) in out.iter_mut().zip(x.iter().zip(bases)) {
            *out = x / base.powf(self.beta);
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2 * self.size as u64 + 20)
    }
}

impl Op for ResponseNorm {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let (x, g) = (saved.input(0)?.to_vec::<f32>()?, grad.to_vec::<f32>()?);
        let (channels, pixels) = (shape[1], shape[2..].iter().product::<usize>());
        if x.is_empty() {
            return Ok(vec![Some(grad.clone())]);
        }
        let bases = self.bases(&x, channels, pixels);
        let factor = 2.0 * self.alpha * self.beta / self.size as f32;
        let mut dx: Vec<f32> = g.iter().zip(&bases).map(|(g, d)| g / d.powf(self.beta)).collect();
        for sample in (0..x.len()).step_by(channels * pixels) {
            self.for_each(channels, |channel, first, end| {
                for pixel in 0..pixels {
                    let at = sample + channel * pixels + pixel;
                    let share = factor * g[at] * x[at] / bases[at].powf(self.beta + 1.0);
                    for other in first..end {
                        let to = sample + other * pixels + pixel;
                        dx[to] -= share * x[to];
                    }
                }
            });
        }
        Ok(vec![Some(Tensor::from_vec(dx, shape)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 4, 3], 1.0, &mut Rng::seed(1)).unwrap()];
        for size in [1, 2, 3, 9] {
            let op = ResponseNorm { size, alpha: 0.5, beta: 0.75, bias: 1.0 };
            gradcheck(|v, ctx| ctx.apply(op, &[&v[0]]), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn a_channel_counts_its_neighbors() {
        let x = Var::from(Tensor::from_vec(vec![1.0, 2.0, 3.0], [1, 3, 1]).unwrap());
        let op = ResponseNorm { size: 3, alpha: 3.0, beta: 1.0, bias: 0.0 };
        let y = Ctx::eval().apply(op, &[&x]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [1.0 / 5.0, 2.0 / 14.0, 3.0 / 13.0]);
        let none = ResponseNorm { size: 0, ..op };
        assert!(Ctx::eval().apply(none, &[&x]).is_err());
    }
}
