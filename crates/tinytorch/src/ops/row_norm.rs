use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var, lower_opaque};
use crate::graph::{Compute, Cost, Edge, Exec, Graph, View};
use crate::tensor::{Shape, Tensor, TensorError, parallel, reduce};
use std::sync::Arc;

/// Rows that a thread takes at a time. The number is fixed, so that the order in which the gradients
/// of weight and bias are added up does not depend on the number of threads.
const ROWS: usize = 64;

/// Each row of the last axis standardized, then scaled by `weight` and shifted by `bias`, both
/// `[dim]`. With `r = 1 / sqrt(mean (x - m)^2 + eps)` and `x' = (x - m) r`, `y = x' weight + bias`;
/// `m` is the row's mean (layer norm: Ba et al., 2016) or 0 (RMS norm: Zhang and Sennrich, 2019).
///
/// From the gradient `g` of `y`, with `h = g weight` and means over the row,
/// `dx = r (h - mean h - x' mean(h x'))`, without the term `mean h` if `m` is 0.
#[derive(Clone, Copy, Debug)]
struct RowNorm {
    centered: bool,
    eps: f32,
}

impl RowNorm {
    /// `m` and `r` of a row.
    fn statistics(self, row: &[f32]) -> (f32, f32) {
        let count = row.len() as f32;
        let mean = if self.centered { reduce::sum(row) / count } else { 0.0 };
        let squares = reduce::sum_of([row], |[x]| (x - mean) * (x - mean));
        (mean, 1.0 / (squares / count + self.eps).sqrt())
    }

    fn input_gradient(self, x: &[f32], weight: &[f32], g: &[f32], dx: &mut [f32]) {
        let (mean, r) = self.statistics(x);
        let per_entry = 1.0 / x.len() as f32;
        let centre = match self.centered {
            true => reduce::sum_of([g, weight], |[g, w]| g * w) * per_entry,
            false => 0.0,
        };
        let along = reduce::sum_of([g, weight, x], |[g, w, x]| g * w * (x - mean)) * r * per_entry;
        for ((d, x), (g, w)) in dx.iter_mut().zip(x).zip(g.iter().zip(weight)) {
            *d = r * (g * w - centre - (x - mean) * r * along);
        }
    }

    /// The gradients of weight and bias, one after the other.
    fn parameter_gradients(self, x: &[f32], g: &[f32], dim: usize) -> Vec<f32> {
        let rows = x.len() / dim;
        let mut sums = vec![0f32; 2 * dim * rows.div_ceil(ROWS)];
        parallel::for_each_chunk(
            &mut sums,
            2 * dim,
            8 * x.len(),
            || (),
            |(), block, sums| {
                let (dw, db) = sums.split_at_mut(dim);
                let first = block * ROWS;
                for row in first..rows.min(first + ROWS) {
                    let (x, g) = (&x[row * dim..][..dim], &g[row * dim..][..dim]);
                    let (mean, r) = self.statistics(x);
                    for ((dw, db), (x, g)) in dw.iter_mut().zip(&mut *db).zip(x.iter().zip(g)) {
                        *dw += g * (x - mean) * r;
                        *db += g;
                    }
                }
            },
        );
        let mut total = vec![0f32; 2 * dim];
        for sum in sums.chunks_exact(2 * dim) {
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += s);
        }
        total
    }
}

impl Compute for RowNorm {
    fn name(&self) -> &'static str {
        if self.centered { "layer_norm" } else { "rms_norm" }
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

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (x, weight) = (inputs[0].f32()?, inputs[1].f32()?);
        let bias = inputs.get(2).map(View::f32).transpose()?;
        let dim = inputs[0].shape.last_dim();
        parallel::for_each_chunk(
            out,
            ROWS * dim,
            8 * x.len(),
            || (),
            |(), block, out| {
                let x = x[block * ROWS * dim..].chunks_exact(dim);
                for (out, x) in out.chunks_exact_mut(dim).zip(x) {
                    let (mean, r) = self.statistics(x);
                    for ((y, x), w) in out.iter_mut().zip(x).zip(weight) {
                        *y = (x - mean) * r * w;
                    }
                    if let Some(bias) = bias {
                        out.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                    }
                }
            },
        );
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, if self.centered { 8 } else { 5 })
    }
}

impl Op for RowNorm {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight) = (saved.input(0)?.contiguous()?, saved.input(1)?.contiguous()?);
        let (x, weight) = (x.as_slice::<f32>()?, weight.as_slice::<f32>()?);
        let dense = grad.contiguous()?;
        let (g, dim) = (dense.as_slice::<f32>()?, weight.len());
        let mut grads = vec![None; saved.inputs_len()];
        if saved.needs(0) {
            let mut dx = vec![0f32; x.len()];
            parallel::for_each_chunk(
                &mut dx,
                ROWS * dim,
                12 * x.len(),
                || (),
                |(), block, dx| {
                    let start = block * ROWS * dim;
                    let rows = x[start..].chunks_exact(dim).zip(g[start..].chunks_exact(dim));
                    for (dx, (x, g)) in dx.chunks_exact_mut(dim).zip(rows) {
                        self.input_gradient(x, weight, g, dx);
                    }
                },
            );
            grads[0] = Some(Tensor::from_vec(dx, *saved.shape(0))?);
        }
        if (1..saved.inputs_len()).any(|i| saved.needs(i)) {
            let mut dw = self.parameter_gradients(x, g, dim);
            let db = dw.split_off(dim);
            for (slot, sum) in grads[1..].iter_mut().zip([dw, db]) {
                *slot = Some(Tensor::from_vec(sum, [dim])?);
            }
        }
        Ok(grads)
    }

    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        lower_opaque(self, graph, inputs)
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
        ctx.apply(RowNorm { centered: true, eps }, &[self, weight, bias])
    }

    /// Each row of the last axis divided by its root mean square, then times `weight`, as long as a
    /// row: `y = x / sqrt(mean x^2 + eps) * weight`.
    ///
    /// # Errors
    /// As [`Var::layer_norm`].
    pub fn rms_norm(&self, weight: &Var, eps: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(RowNorm { centered: false, eps }, &[self, weight])
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
