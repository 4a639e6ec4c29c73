//! Cross-entropy of classes.

use super::LossError;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError};

/// `mean over rows of (log sum exp(x) - sum(q x))` for the wanted distribution `q` of a row; its
/// gradient is `(softmax(x) - q) / rows` (Bridle, 1990). Of `q`, the share `smoothing` is spread evenly
/// over all classes and the rest lies on the target (Szegedy et al., 2015).
#[derive(Clone, Copy, Debug)]
struct CrossEntropy {
    smoothing: f32,
}

/// The classes of each row, checked against their number.
fn checked<'a>(targets: &'a [i64], classes: usize) -> impl Iterator<Item = Result<usize>> + 'a {
    targets.iter().enumerate().map(move |(row, &t)| match usize::try_from(t) {
        Ok(t) if t < classes => Ok(t),
        _ => Err(LossError::Label { row, label: t, classes }.into()),
    })
}

/// `log sum exp(row)`, shifted by the largest entry so that it cannot overflow.
fn log_sum_exp(row: &[f32]) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    max + row.iter().map(|&x| (x - max).exp()).sum::<f32>().ln()
}

impl Compute for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, targets) = (&inputs[0], &inputs[1]);
        if x.rank() < 2 || x.is_empty() || x[..x.rank() - 1] != targets[..] {
            return Err(TensorError::Mismatch {
                op: "cross_entropy",
                left: *x,
                right: *targets,
                expected: "logits are [.., classes] and targets have one class per row, at least one",
            }
            .into());
        }
        Ok(Shape::SCALAR)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (x, targets) = (inputs[0].f32()?, inputs[1].i64()?);
        let classes = inputs[0].shape.last_dim();
        let mut sum = 0f64;
        for (row, target) in x.chunks_exact(classes).zip(checked(targets, classes)) {
            let norm = log_sum_exp(row);
            let hit = norm - row[target?];
            let spread = match self.smoothing {
                0.0 => 0.0,
                share => share * row.iter().map(|x| norm - x).sum::<f32>() / classes as f32,
            };
            sum += f64::from((1.0 - self.smoothing) * hit + spread);
        }
        out[0] = (sum / targets.len() as f64) as f32;
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost { flops: 4 * inputs[0].len() as u64, ..Cost::per_element(inputs, output, 0) }
    }
}

impl Op for CrossEntropy {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (x, targets) = (saved.input(0)?.contiguous()?, saved.input(1)?.to_vec::<i64>()?);
        let classes = x.shape().last_dim();
        let scale = grad.item()? / targets.len() as f32;
        let mut out = Vec::with_capacity(x.len());
        for (row, target) in
            x.as_slice::<f32>()?.chunks_exact(classes).zip(checked(&targets, classes))
        {
            let norm = log_sum_exp(row);
            let start = out.len();
            let spread = self.smoothing / classes as f32;
            out.extend(row.iter().map(|&x| ((x - norm).exp() - spread) * scale));
            out[start + target?] -= (1.0 - self.smoothing) * scale;
        }
        Ok(vec![Some(Tensor::from_vec(out, *saved.shape(0))?), None])
    }
}

impl Var {
    /// Mean cross-entropy, in nats, of logits `[.., classes]` against class indices `[..]` (i64).
    ///
    /// # Errors
    /// [`LossError::Label`] for a class out of range, [`TensorError::Mismatch`] if the shapes do not
    /// fit.
    pub fn cross_entropy(&self, targets: &Tensor, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.cross_entropy_smoothed(targets, 0.0, ctx)
    }

    /// [`Var::cross_entropy`] against targets that hold with probability `1 - smoothing` and are
    /// otherwise any class, all equally likely.
    ///
    /// # Errors
    /// [`LossError::Smoothing`] unless `smoothing` is at least 0 and below 1, and as
    /// [`Var::cross_entropy`].
    pub fn cross_entropy_smoothed(
        &self,
        targets: &Tensor,
        smoothing: f32,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        if !(0.0..1.0).contains(&smoothing) {
            return Err(LossError::Smoothing { smoothing }.into());
        }
        ctx.apply(CrossEntropy { smoothing }, &[self, &Var::from(targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradient() {
        let x = Tensor::randn([3, 4], 1.0, &mut Rng::seed(1)).unwrap();
        let targets = Tensor::from_vec(vec![0i64, 3, 1], [3]).unwrap();
        let x = [x];
        gradcheck(|v, ctx| v[0].cross_entropy(&targets, ctx), &x, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].cross_entropy_smoothed(&targets, 0.2, ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn smoothing_is_the_mean_over_all_classes_for_its_share() {
        let x = Var::from(Tensor::randn([2, 3], 1.0, &mut Rng::seed(2)).unwrap());
        let ctx = &mut Ctx::eval();
        let mut loss = |t: i64, smoothing| {
            let targets = Tensor::full(t, [2]).unwrap();
            let loss = x.cross_entropy_smoothed(&targets, smoothing, ctx).unwrap();
            loss.value().item().unwrap()
        };
        let mean = (loss(0, 0.0) + loss(1, 0.0) + loss(2, 0.0)) / 3.0;
        assert!((loss(1, 0.3) - (0.7 * loss(1, 0.0) + 0.3 * mean)).abs() < 1e-6);
        for bad in [-0.1, 1.0, f32::NAN] {
            let targets = Tensor::full(0i64, [2]).unwrap();
            assert!(x.cross_entropy_smoothed(&targets, bad, &mut Ctx::eval()).is_err());
        }
    }

    #[test]
    fn uniform_logits_cost_the_log_of_the_classes_and_huge_ones_do_not_overflow() {
        let loss = |x: Vec<f32>| {
            let x = Var::from(Tensor::from_vec(x, [1, 4]).unwrap());
            let t = Tensor::from_vec(vec![2i64], [1]).unwrap();
            x.cross_entropy(&t, &mut Ctx::eval()).unwrap().value().item().unwrap()
        };
        assert!((loss(vec![1.0; 4]) - 4f32.ln()).abs() < 1e-6);
        assert!(loss(vec![-1e30, 0.0, 1e30, 0.0]).abs() < 1e-6);
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        let x = Var::from(Tensor::ones([2, 3]).unwrap());
        let t = Tensor::from_vec(vec![0i64, 3], [2]).unwrap();
        let err = x.cross_entropy(&t, &mut Ctx::eval()).unwrap_err();
        assert_eq!(err.to_string(), "row 1 has label 3, but there are 3 classes, numbered from 0");
    }
}
