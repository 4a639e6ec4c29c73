//! Linear layers of floats.

use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Bounds, Compute, Cost, Edge, Exec, Graph, Properties, Step, View, Weight};
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::f32::gemm::{Bias, Matrix, MatrixMut, Scaling, gemm};

/// `x W^T + b` with float weights: `x` is `[.., in]`, `W` is `[out, in]`, `b` is `[out]`.
/// With `G` the gradient of the output, rows flattened: `dx = G W`, `dW = G^T x`, `db = sum G`.
#[derive(Clone, Copy, Debug)]
pub struct Linear;

/// The output shape of a linear layer: the last axis, `in`, becomes `out`.
pub(super) fn output_shape(x: &Shape, weight: &Shape) -> Result<Shape> {
    if x.rank() == 0 || weight.rank() != 2 || x.last_dim() != weight[1] {
        return Err(TensorError::Mismatch {
            op: "linear",
            left: *x,
            right: *weight,
            expected: "the input's last dimension must equal the weight's second",
        }
        .into());
    }
    Ok(x.with(x.rank() - 1, weight[0]))
}

/// The rows of a `[.., n]` tensor as a matrix.
pub(super) fn rows(x: &Tensor) -> Result<Tensor> {
    x.reshape([x.len() / x.shape().last_dim().max(1), x.shape().last_dim()])
}

impl Compute for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn properties(&self) -> Properties {
        Properties { keeps_samples_apart: true, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = output_shape(&inputs[0], &inputs[1])?;
        if let Some(bias) = inputs.get(2)
            && bias.dims() != &inputs[1][..1]
        {
            return Err(TensorError::Mismatch {
                op: "linear",
                left: inputs[1],
                right: *bias,
                expected: "the bias needs one entry per row of the weight",
            }
            .into());
        }
        Ok(shape)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (x, w) = (inputs[0].f32()?, &inputs[1]);
        let (n, k) = (w.shape[0], w.shape[1]);
        let m = x.len() / k.max(1);
        let bias = inputs.get(2).map(View::f32).transpose()?.map_or(Bias::None, Bias::PerColumn);
        let (x, w) = (Matrix::new(x, m, k), Matrix::new(w.f32()?, n, k).t());
        gemm(exec.isa(), x, w, MatrixMut::new(out, m, n), &Scaling { bias, ..Scaling::default() });
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let per_output = 2 * inputs[1].last_dim() + usize::from(inputs.len() > 2);
        Cost::per_element(inputs, output, per_output as u64)
    }
}

impl Op for Linear {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (grad, isa) = (rows(grad)?, exec.isa());
        let mut grads = vec![None; saved.inputs_len()];
        if saved.needs(0) {
            grads[0] = Some(grad.matmul_on(isa, saved.input(1)?)?.reshape(*saved.shape(0))?);
        }
        if saved.needs(1) {
            grads[1] = Some(grad.transpose(0, 1)?.matmul_on(isa, &rows(saved.input(0)?)?)?);
        }
        if saved.inputs_len() > 2 && saved.needs(2) {
            grads[2] = Some(grad.sum_axis(0, false)?);
        }
        Ok(grads)
    }

    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let weight = Weight::F32(graph.constant_at(inputs[1], "linear")?.clone());
        let bias = graph.optional_constant(inputs, 2, "linear")?;
        graph
            .push_optional(Step::Linear { weight, bias, bounds: Bounds::NONE }, &inputs[..1])
            .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Param, Role, gradcheck};
    use crate::tensor::IntoShape;
    use crate::{Rng, Tensor};

    fn randn(shape: impl IntoShape, seed: u64) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    #[test]
    fn gradients_of_input_weight_and_bias() {
        for shape in [vec![2, 3], vec![2, 2, 3], vec![3]] {
            let inputs = [randn(&shape[..], 1), randn([4, 3], 2), randn([4], 3)];
            let op = |v: &[_], ctx: &mut Ctx<'_>| ctx.apply(super::Linear, &[&v[0], &v[1], &v[2]]);
            gradcheck(op, &inputs, 1e-3).unwrap();
            let op = |v: &[_], ctx: &mut Ctx<'_>| ctx.apply(super::Linear, &[&v[0], &v[1]]);
            gradcheck(op, &inputs[..2], 1e-3).unwrap();
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let weight = Param::new(randn([4, 3], 1), Role::LinearWeight);
        let err = crate::autograd::Var::from(randn([2, 5], 1))
            .linear(&weight, None, &mut Ctx::eval())
            .unwrap_err();
        assert!(err.to_string().contains("[2, 5] and [4, 3]"), "{err}");
    }
}
