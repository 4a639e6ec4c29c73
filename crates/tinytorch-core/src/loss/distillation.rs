//! Learning from another model's answers.

use super::LossError;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::tensor::{Tensor, TensorError};

impl Var {
    /// How far the student's logits, this value `[.., classes]`, are from the teacher's, in nats:
    /// `T^2 KL(softmax(teacher / T) || softmax(student / T))`, the mean over rows (Hinton et al.,
    /// 2015). The factor `T^2` keeps the gradient's size when the temperature `T` changes.
    ///
    /// # Errors
    /// [`LossError::Temperature`] unless the temperature is positive and finite,
    /// [`TensorError::Mismatch`] unless the shapes are equal and have rows.
    pub fn distillation_loss(
        &self,
        teacher: &Tensor,
        temperature: f32,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(LossError::Temperature { temperature }.into());
        }
        let shape = *self.shape();
        if shape != *teacher.shape() || shape.rank() == 0 || shape.is_empty() {
            return Err(TensorError::Mismatch {
                op: "distillation_loss",
                left: shape,
                right: *teacher.shape(),
                expected: "both are logits [.., classes] of the same shape, with at least one row",
            }
            .into());
        }
        let axis = shape.rank() - 1;
        let outside = &mut Ctx::eval();
        let log_p = Var::from(teacher.scale(1.0 / temperature)?).log_softmax(axis, outside)?;
        let p = log_p.exp(outside)?;
        let log_q = self.mul_scalar(1.0 / temperature, ctx)?.log_softmax(axis, ctx)?;
        let rows = (shape.len() / shape[axis]) as f32;
        let difference = log_p.sub(&log_q, ctx)?;
        p.mul(&difference, ctx)?.sum(ctx)?.mul_scalar(temperature * temperature / rows, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn logits(seed: u64) -> Tensor {
        Tensor::randn([3, 4], 1.5, &mut Rng::seed(seed)).unwrap()
    }

    #[test]
    fn gradient() {
        for temperature in [1.0, 3.0] {
            let op =
                |v: &[Var], ctx: &mut Ctx<'_>| v[0].distillation_loss(&logits(2), temperature, ctx);
            gradcheck(op, &[logits(1)], 1e-3).unwrap();
        }
    }

    #[test]
    fn it_is_zero_for_equal_logits_and_positive_otherwise() {
        let mut ctx = Ctx::eval();
        let mut loss = |student: Tensor| {
            let loss = Var::from(student).distillation_loss(&logits(2), 2.0, &mut ctx).unwrap();
            loss.value().item().unwrap()
        };
        assert!(loss(logits(2)).abs() < 1e-6);
        assert!(loss(logits(1)) > 0.1);
        assert!(loss(logits(2).map(|x| x + 5.0).unwrap()).abs() < 1e-5);
    }

    #[test]
    fn bad_arguments_are_errors() {
        let (mut ctx, x) = (Ctx::eval(), Var::from(logits(1)));
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(x.distillation_loss(&logits(1), temperature, &mut ctx).is_err());
        }
        assert!(x.distillation_loss(&Tensor::ones([3, 1]).unwrap(), 1.0, &mut ctx).is_err());
    }
}
