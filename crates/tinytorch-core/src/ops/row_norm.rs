//! Rows standardized: layer norm and RMS norm.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::f32::rows::{
    Norm, NormGrads, NormKind, RowStats, norm_rows, norm_rows_backward,
};

/// Each row of the last axis standardized, then scaled by `weight` and shifted by `bias`, both
/// `[dim]`. With `r = 1 / sqrt(mean (x - m)^2 + eps)` and `x' = (x - m) r`, `y = x' weight + bias`;
/// `m` is the row's mean (layer norm: Ba et al., 2016) or 0 (RMS norm: Zhang and Sennrich, 2019).
///
/// From the gradient `g` of `y`, with `h = g weight` and means over the row,
/// `dx = r (h - mean h - x' mean(h x'))`, without the term `mean h` if `m` is 0.
#[derive(Clone, Copy, Debug)]
pub struct RowNorm {
    /// What is taken off a row before it is scaled.
    pub kind: NormKind,
    /// Added to the mean of squares.
    pub eps: f32,
}

impl RowNorm {
    fn norm<'a>(&self, weight: &'a [f32], bias: Option<&'a [f32]>) -> Norm<'a> {
        Norm { kind: self.kind, epsilon: self.eps, weight, bias }
    }
}

impl Compute for RowNorm {
    fn name(&self) -> &'static str {
        match self.kind {
            NormKind::Layer => "layer_norm",
            NormKind::Rms => "rms_norm",
        }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = inputs[0];
        if x.rank() == 0 || x.last_dim() == 0 {
            let expected = "the last axis must have entries".into();
            return Err(TensorError::Shape { op: self.name(), shape: x, expected }.into());
        }
        for parameter in &inputs[1..] {
            if parameter.dims() != [x.last_dim()] {
                return Err(TensorError::Mismatch {
                    op: self.name(),
                    left: x,
                    right: *parameter,
                    expected: "weight and bias need one entry per entry of the input's last axis",
                }
                .into());
            }
        }
        Ok(x)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (x, weight) = (inputs[0].f32()?, inputs[1].f32()?);
        let bias = inputs.get(2).map(View::f32).transpose()?;
        let isa = exec.isa();
        exec.row_stats.resize(x.len() / weight.len(), RowStats::default());
        norm_rows(isa, self.norm(weight, bias), x, out, &mut exec.row_stats);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, if self.kind == NormKind::Layer { 8 } else { 5 })
    }
}

impl Op for RowNorm {
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
        let (x, weight) = (x.as_slice::<f32>()?, weight.as_slice::<f32>()?);
        let dense = grad.contiguous()?;
        let (g, dim, isa) = (dense.as_slice::<f32>()?, weight.len(), exec.isa());
        let (norm, mut stats) = (self.norm(weight, None), vec![RowStats::default(); x.len() / dim]);
        let [mut dx, mut dw, mut db] = [x.len(), dim, dim].map(|len| vec![0f32; len]);
        // Statistics cost one more pass, which is cheaper than keeping them for every row of a batch.
        norm_rows(isa, norm, x, &mut dx, &mut stats);
        let out = NormGrads { x: &mut dx, weight: &mut dw, bias: &mut db };
        norm_rows_backward(isa, norm, x, &stats, g, out);
        let mut grads = vec![Some(Tensor::from_vec(dx, *saved.shape(0))?)];
        for gradient in [dw, db].into_iter().take(saved.inputs_len() - 1) {
            grads.push(Some(Tensor::from_vec(gradient, [dim])?));
        }
        Ok(grads)
    }
}

impl Var {
    /// Each row of the last axis moved to mean 0 and variance 1, then times `weight` plus `bias`, both
    /// as long as a row: `y = (x - mean) / sqrt(variance + eps) * weight + bias`.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if weight or bias are not as long as a row, [`TensorError::Shape`] for
    /// rows without entries.
    pub fn layer_norm(&self, weight: &Var, bias: &Var, eps: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(RowNorm { kind: NormKind::Layer, eps }, &[self, weight, bias])
    }

    /// Each row of the last axis divided by its root mean square, then times `weight`, as long as a
    /// row: `y = x / sqrt(mean x^2 + eps) * weight`.
    ///
    /// # Errors
    /// As [`Var::layer_norm`].
    pub fn rms_norm(&self, weight: &Var, eps: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(RowNorm { kind: NormKind::Rms, eps }, &[self, weight])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn inputs() -> [Tensor; 3] {
        let mut rng = Rng::seed(1);
        let x = Tensor::randn([2, 3, 5], 2.0, &mut rng).unwrap();
        [x, Tensor::randn([5], 1.0, &mut rng).unwrap(), Tensor::randn([5], 1.0, &mut rng).unwrap()]
    }

    #[test]
    fn gradients() {
        gradcheck(|v, ctx| v[0].layer_norm(&v[1], &v[2], 1e-5, ctx), &inputs(), 2e-3).unwrap();
        gradcheck(|v, ctx| v[0].rms_norm(&v[1], 1e-5, ctx), &inputs()[..2], 2e-3).unwrap();
    }

    #[test]
    fn gradients_do_not_depend_on_the_threads() {
        let x = Tensor::randn([300, 40], 1.0, &mut Rng::seed(2)).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut ctx = Ctx::eval().recording();
                let v = [x.clone(), Tensor::ones([40]).unwrap(), Tensor::zeros([40]).unwrap()]
                    .map(|t| ctx.input(&t));
                let y = v[0].layer_norm(&v[1], &v[2], 1e-5, &mut ctx).unwrap();
                let loss = y.mul(&y, &mut ctx).unwrap().mul(&y, &mut ctx).unwrap();
                let loss = loss.sum(&mut ctx).unwrap();
                let grads = ctx.backward(&loss).unwrap();
                v.map(|v| grads.of_input(&v).unwrap().to_vec::<f32>().unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn rows_are_standardized() {
        let [x, ..] = inputs().map(Var::from);
        let (one, zero) = (Tensor::ones([5]).unwrap(), Tensor::zeros([5]).unwrap());
        let mut ctx = Ctx::eval();
        let y = x.layer_norm(&(&one).into(), &(&zero).into(), 0.0, &mut ctx).unwrap();
        let rms = x.rms_norm(&(&one).into(), 0.0, &mut ctx).unwrap();
        for (row, rms) in y
            .value()
            .to_vec::<f32>()
            .unwrap()
            .chunks(5)
            .zip(rms.value().to_vec::<f32>().unwrap().chunks(5))
        {
            let mean_square = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>() / 5.0;
            assert!(row.iter().sum::<f32>().abs() < 1e-5);
            assert!((mean_square(row) - 1.0).abs() < 1e-5);
            assert!((mean_square(rms) - 1.0).abs() < 1e-5);
        }
        let constant = Var::from(Tensor::full(7f32, [1, 5]).unwrap());
        let y = constant.layer_norm(&one.into(), &zero.into(), 1e-5, &mut ctx).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [0.0; 5]);
    }

    #[test]
    fn parameters_of_another_length_are_errors() {
        let [x, w, _] = inputs().map(Var::from);
        let short = Var::from(Tensor::ones([4]).unwrap());
        assert!(x.layer_norm(&w, &short, 1e-5, &mut Ctx::eval()).is_err());
        assert!(x.rms_norm(&short, 1e-5, &mut Ctx::eval()).is_err());
        let scalar = Var::from(Tensor::scalar(1.0));
        assert!(scalar.rms_norm(&w, 1e-5, &mut Ctx::eval()).is_err());
    }
}
