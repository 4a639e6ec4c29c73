//! Products of matrices.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, matmul};

/// `a @ b` over the last two axes; the others broadcast. `dA = G B^T`, `dB = A^T G`, each summed
/// over the axes it was stretched along.
#[derive(Clone, Copy, Debug)]
pub struct MatMul;

impl Compute for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        matmul::product_shape(&inputs[0], &inputs[1])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (a, b) = (&inputs[0], &inputs[1]);
        let left = (a.shape, a.shape.strides(), a.f32()?);
        let right = (b.shape, b.shape.strides(), b.f32()?);
        matmul::matmul_into(exec.isa(), left, right, out)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2 * inputs[0].last_dim() as u64)
    }

    fn forward(&self, inputs: &[&Tensor], exec: &mut Exec) -> Result<Tensor> {
        inputs[0].matmul_on(exec.isa(), inputs[1])
    }
}

impl Op for MatMul {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let isa = exec.isa();
        let swapped = |t: &Tensor| t.transpose(t.rank() - 2, t.rank() - 1);
        let mut grads = vec![None, None];
        if saved.needs(0) {
            let full = grad.matmul_on(isa, &swapped(saved.input(1)?)?)?;
            grads[0] = Some(full.sum_to(saved.shape(0))?);
        }
        if saved.needs(1) {
            let full = swapped(saved.input(0)?)?.matmul_on(isa, grad)?;
            grads[1] = Some(full.sum_to(saved.shape(1))?);
        }
        Ok(grads)
    }
}

impl Var {
    /// Matrix product over the last two axes, `[.., m, k] @ [.., k, n]`; the other axes broadcast.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the shapes do not multiply.
    pub fn matmul(&self, other: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(MatMul, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Var, gradcheck};
    use crate::tensor::IntoShape;
    use crate::{Rng, Tensor};
    use tinytorch_kernels::Isa;

    fn randn(shape: impl IntoShape) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(2)).unwrap()
    }

    #[test]
    fn gradients_with_and_without_batches() {
        gradcheck(|v, c| v[0].matmul(&v[1], c), &[randn([2, 3]), randn([3, 2])], 1e-3).unwrap();
        let batched = [randn([2, 1, 2, 3]), randn([2, 3, 2])];
        gradcheck(|v, c| v[0].matmul(&v[1], c), &batched, 1e-3).unwrap();
    }

    #[test]
    fn the_pass_says_on_which_instruction_set() {
        // x^2 - 1 for x = 1 + 2^-12: its last bit is lost where the square is rounded before the sum, which
        // it is in scalar code alone.
        let x = 1.0 + 2f32.powi(-12);
        let a = Var::from(Tensor::from_vec(vec![-1.0, x, -1.0, x], [2, 2]).unwrap());
        let b = Var::from(Tensor::from_vec(vec![1.0, 1.0, x, x], [2, 2]).unwrap());
        for isa in Isa::available() {
            let y = a.matmul(&b, &mut Ctx::eval().on(isa)).unwrap();
            let last = if isa == Isa::Scalar { 0.0 } else { 2f32.powi(-24) };
            assert_eq!(y.value().to_vec::<f32>().unwrap(), [2f32.powi(-11) + last; 4], "{isa:?}");
        }
    }
}
