//! Dropping entries at random.

use crate::autograd::{Ctx, Mode, Op, Saved, Var};
use crate::graph::{Compute, Cost, Edge, Exec, Graph, GraphError, View};
use crate::ops::OpError;
use crate::tensor::{Shape, Tensor, TensorError};
use crate::{Result, Rng};

/// Every entry dropped with probability `p` and the others scaled by `1 / (1 - p)`, which keeps the
/// expected value (Srivastava et al., 2014). The gradient passes where the value did.
#[derive(Clone, Debug)]
struct Dropout {
    kept: Vec<bool>,
    scale: f32,
}

impl Dropout {
    fn draw(p: f32, len: usize, rng: &mut Rng) -> Dropout {
        let kept = (0..len).map(|_| rng.unit() >= p).collect();
        // At p = 1 nothing is kept, and an infinite scale would turn zeros into NaN.
        Dropout { kept, scale: if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 } }
    }

    fn mask(&self, values: &[f32], out: &mut [f32]) {
        for ((out, &v), &kept) in out.iter_mut().zip(values).zip(&self.kept) {
            *out = if kept { v * self.scale } else { 0.0 };
        }
    }
}

impl Compute for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if inputs[0].len() != self.kept.len() {
            return Err(TensorError::Length { len: self.kept.len(), shape: inputs[0] }.into());
        }
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        self.mask(inputs[0].f32()?, out);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Dropout {
    fn backward(&self, _: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let dense = grad.contiguous()?;
        let mut out = vec![0.0; grad.len()];
        self.mask(dense.as_slice()?, &mut out);
        Ok(vec![Some(Tensor::from_vec(out, *grad.shape())?)])
    }

    fn lower(&self, _: &mut Graph, _: &[Option<Edge>]) -> Result<Option<Edge>> {
        Err(GraphError::TrainingOnly { op: "dropout" }.into())
    }
}

impl Var {
    /// In training, every entry is 0 with probability `p`, by the context's random numbers, and the
    /// others are scaled by `1 / (1 - p)`. In inference, the value itself.
    ///
    /// # Errors
    /// [`OpError::Probability`] unless `p` lies between 0 and 1.
    pub fn dropout(&self, p: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        if !(0.0..=1.0).contains(&p) {
            return Err(OpError::Probability { op: "dropout", value: p }.into());
        }
        if ctx.mode() == Mode::Eval || p == 0.0 {
            return Ok(self.clone());
        }
        let op = Dropout::draw(p, self.value().len(), ctx.rng());
        ctx.apply(op, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::gradcheck;

    #[test]
    fn gradient_under_one_mask() {
        let x = [Tensor::randn([3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        let op = Dropout::draw(0.5, 12, &mut Rng::seed(2));
        gradcheck(|v, ctx| ctx.apply(op.clone(), &[&v[0]]), &x, 1e-3).unwrap();
    }

    #[test]
    fn the_expected_value_is_kept_and_the_seed_decides() {
        let x = Var::from(Tensor::ones([100_000]).unwrap());
        let drop = |seed| x.dropout(0.3, &mut Ctx::train(Rng::seed(seed))).unwrap().into_value();
        let y = drop(1);
        assert!((y.mean().unwrap() - 1.0).abs() < 0.01);
        assert_eq!(y.to_vec::<f32>().unwrap(), drop(1).to_vec::<f32>().unwrap());
        assert_ne!(y.to_vec::<f32>().unwrap(), drop(2).to_vec::<f32>().unwrap());
    }

    #[test]
    fn inference_keeps_everything_and_1_drops_everything() {
        let x = Var::from(Tensor::ones([8]).unwrap());
        assert!(x.dropout(0.9, &mut Ctx::eval()).unwrap().value().shares_storage(x.value()));
        let y = x.dropout(1.0, &mut Ctx::train(Rng::seed(1))).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [0.0; 8]);
        for p in [-0.1, 1.5, f32::NAN] {
            assert!(x.dropout(p, &mut Ctx::eval()).is_err());
        }
    }
}
