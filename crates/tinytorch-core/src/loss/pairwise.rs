//! Losses of predictions against targets, one by one.

use super::LossError;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError};

/// Losses that compare each prediction `x` with one target `t` and take the mean.
#[derive(Clone, Copy, Debug)]
enum Pairwise {
    /// `(x - t)^2`; the derivative is `2 (x - t)`.
    SquaredError,
    /// `-t ln x - (1 - t) ln (1 - x)` of a probability `x`; the derivative is `(x - t) / (x (1 - x))`.
    BinaryCrossEntropy,
    /// The same of the logit `x` of a probability: `max(x, 0) - x t + ln(1 + e^-|x|)`, which cannot
    /// overflow; the derivative is `sigmoid(x) - t`.
    BinaryCrossEntropyWithLogits,
}

/// The logarithm of a probability, not below -100: a certain but wrong prediction costs much, and not
/// infinitely much. PyTorch has the same bound.
fn log_probability(p: f32) -> f32 {
    p.ln().max(-100.0)
}

impl Pairwise {
    fn value(self, x: f32, t: f32) -> f32 {
        match self {
            Pairwise::SquaredError => (x - t) * (x - t),
            Pairwise::BinaryCrossEntropy => {
                -t * log_probability(x) - (1.0 - t) * log_probability(1.0 - x)
            }
            Pairwise::BinaryCrossEntropyWithLogits => x.max(0.0) - x * t + (-x.abs()).exp().ln_1p(),
        }
    }

    fn slope(self, x: f32, t: f32) -> f32 {
        match self {
            Pairwise::SquaredError => 2.0 * (x - t),
            // The bound matches that of the logarithm: at 0 and 1 the slope is large and finite.
            Pairwise::BinaryCrossEntropy => (x - t) / (x * (1.0 - x)).max(1e-12),
            Pairwise::BinaryCrossEntropyWithLogits => 1.0 / (1.0 + (-x).exp()) - t,
        }
    }

    /// Checks that targets, and predictions that should be, are probabilities.
    fn check(self, x: &[f32], targets: &[f32]) -> Result<()> {
        let probabilities =
            |what, values: &[f32]| match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
                Some(at) => {
                    let value = values[at];
                    Err(LossError::Probability { what, at, value })
                }
                None => Ok(()),
            };
        match self {
            Pairwise::SquaredError => {}
            Pairwise::BinaryCrossEntropy => {
                probabilities("prediction", x)?;
                probabilities("target", targets)?;
            }
            Pairwise::BinaryCrossEntropyWithLogits => probabilities("target", targets)?,
        }
        Ok(())
    }
}

impl Compute for Pairwise {
    fn name(&self) -> &'static str {
        match self {
            Pairwise::SquaredError => "mse_loss",
            Pairwise::BinaryCrossEntropy => "binary_cross_entropy",
            Pairwise::BinaryCrossEntropyWithLogits => "binary_cross_entropy_with_logits",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if inputs[0] != inputs[1] || inputs[0].is_empty() {
            return Err(TensorError::Mismatch {
                op: self.name(),
                left: inputs[0],
                right: inputs[1],
                expected: "predictions and targets have the same shape, with at least one entry",
            }
            .into());
        }
        Ok(Shape::SCALAR)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (x, targets) = (inputs[0].f32()?, inputs[1].f32()?);
        self.check(x, targets)?;
        let sum: f64 = x.iter().zip(targets).map(|(&x, &t)| f64::from(self.value(x, t))).sum();
        out[0] = (sum / x.len() as f64) as f32;
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let per_pair = if matches!(self, Pairwise::SquaredError) { 3 } else { 24 };
        let flops = per_pair * inputs[0].len() as u64;
        Cost { flops, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for Pairwise {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let scale = grad.item()? / saved.shape(0).len() as f32;
        let slope = |x, t| scale * self.slope(x, t);
        Ok(vec![Some(saved.input(0)?.zip(saved.input(1)?, self.name(), slope)?), None])
    }
}

impl Var {
    /// Mean squared difference to targets of the same shape.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] unless the shapes are equal: targets are never broadcast.
    pub fn mse_loss(&self, targets: &Tensor, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pairwise::SquaredError, &[self, &targets.into()])
    }

    /// Mean binary cross-entropy, in nats, of probabilities against targets from 0 to 1.
    ///
    /// # Errors
    /// [`LossError::Probability`] for a prediction or target outside 0 to 1, and as
    /// [`Var::mse_loss`].
    pub fn binary_cross_entropy(&self, targets: &Tensor, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pairwise::BinaryCrossEntropy, &[self, &targets.into()])
    }

    /// Mean binary cross-entropy, in nats, of logits (before the sigmoid) against targets from 0 to
    /// 1.
    ///
    /// # Errors
    /// [`LossError::Probability`] for a target outside 0 to 1, and as [`Var::mse_loss`].
    pub fn binary_cross_entropy_with_logits(
        &self,
        targets: &Tensor,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        ctx.apply(Pairwise::BinaryCrossEntropyWithLogits, &[self, &targets.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn targets() -> Tensor {
        Tensor::from_vec(vec![0.0, 1.0, 0.3, 1.0], [2, 2]).unwrap()
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 2], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| v[0].mse_loss(&targets(), ctx), &x, 1e-3).unwrap();
        let logits =
            |v: &[Var], ctx: &mut Ctx<'_>| v[0].binary_cross_entropy_with_logits(&targets(), ctx);
        gradcheck(logits, &x, 1e-3).unwrap();
        let p = [Tensor::rand([2, 2], 0.3, 0.7, &mut Rng::seed(2)).unwrap()];
        gradcheck(|v, ctx| v[0].binary_cross_entropy(&targets(), ctx), &p, 1e-3).unwrap();
    }

    #[test]
    fn logits_and_probabilities_agree() {
        let x = Var::from(Tensor::randn([2, 2], 2.0, &mut Rng::seed(3)).unwrap());
        let mut ctx = Ctx::eval();
        let logits = x.binary_cross_entropy_with_logits(&targets(), &mut ctx).unwrap();
        let p = x.sigmoid(&mut ctx).unwrap().binary_cross_entropy(&targets(), &mut ctx).unwrap();
        assert!((logits.value().item().unwrap() - p.value().item().unwrap()).abs() < 1e-5);
    }

    #[test]
    fn certain_but_wrong_predictions_cost_a_finite_amount() {
        let (mut ctx, one) = (Ctx::eval(), Tensor::ones([1]).unwrap());
        let wrong = Var::from(Tensor::zeros([1]).unwrap());
        let loss = wrong.binary_cross_entropy(&one, &mut ctx).unwrap();
        assert_eq!(loss.value().item().unwrap(), 100.0);
        let wrong = Var::from(Tensor::full(-1e30f32, [1]).unwrap());
        let loss = wrong.binary_cross_entropy_with_logits(&one, &mut ctx).unwrap();
        assert_eq!(loss.value().item().unwrap(), 1e30);
    }

    #[test]
    fn shapes_and_values_that_do_not_fit_are_errors() {
        let mut ctx = Ctx::eval();
        let x = Var::from(Tensor::ones([2, 1]).unwrap());
        assert!(x.mse_loss(&Tensor::ones([2]).unwrap(), &mut ctx).is_err());
        let empty = Tensor::zeros([0]).unwrap();
        assert!(Var::from(&empty).mse_loss(&empty, &mut ctx).is_err());
        let bad = Tensor::from_vec(vec![0.5, 1.5], [2, 1]).unwrap();
        let err = x.binary_cross_entropy(&bad, &mut ctx).unwrap_err();
        assert_eq!(
            err.to_string(),
            "target 1 is 1.5; binary cross-entropy needs values from 0 to 1"
        );
        let nan = Var::from(Tensor::full(f32::NAN, [2, 1]).unwrap());
        assert!(nan.binary_cross_entropy(x.value(), &mut ctx).is_err());
    }
}
