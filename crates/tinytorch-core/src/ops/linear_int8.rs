//! Linear layers with int8 weights.

use super::linear_f32::{output_shape, rows};
use crate::Result;
use crate::autograd::{Op, Saved};
use crate::graph::{Bounds, Compute, Cost, Edge, Exec, Graph, Step, View, Weight};
use crate::int8::{Encoding, Int8Weight, QWeight};
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::int8 as kernels;

/// `x W^T + b` with an int8 `W`: the activation `[.., in]` is quantized as the weight says, products
/// are summed exactly in 32-bit integers, and the epilogue gives floats.
///
/// The weight is frozen; the gradient passes through to the input (as if nothing had been rounded:
/// Bengio et al., 2013) and to the bias.
#[derive(Clone, Debug)]
pub struct LinearInt8(pub Int8Weight);

impl Compute for LinearInt8 {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        output_shape(&inputs[0], &self.0.shape())
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (x, weight, isa) = (inputs[0].f32()?, &self.0, exec.isa());
        let k = weight.panels().k();
        let m = x.len() / k;
        let bias = weight.offset(inputs.get(1).map(View::f32).transpose()?);
        let bias = bias.as_deref();
        let epilogue = kernels::Epilogue { scales: weight.scales().as_kernel(), bias, relu: false };
        if weight.input() == Encoding::F32 {
            let scratch = &mut exec.scratch;
            let ran =
                kernels::gemm_weight_only(isa, x, m, weight.panels(), &epilogue, out, scratch)?;
            exec.ran(ran);
            return Ok(());
        }
        let mut activation = std::mem::take(&mut exec.activation);
        activation.quantize(isa, weight.input(), x, m)?;
        let (data, params) = (activation.data(), activation.params(weight.input()));
        let done = multiply(weight, data, params, &epilogue, kernels::Output::F32(out), exec);
        exec.activation = activation;
        done
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let per_output = (2 * self.0.panels().k() + usize::from(inputs.len() > 1)) as u64;
        let cost = Cost::per_element(inputs, output, per_output);
        Cost { read: cost.read + self.0.bytes() as u64, ..cost }
    }
}

/// Multiplies quantized rows by a weight: what eager layers and plans both run.
pub(crate) fn multiply(
    weight: &QWeight,
    x: &[u8],
    params: kernels::RowParams<'_>,
    epilogue: &kernels::Epilogue<'_>,
    output: kernels::Output<'_>,
    exec: &mut Exec,
) -> Result<()> {
    let k = weight.panels().k();
    let m = x.len() / (k * params.level_bytes());
    let rows = kernels::Activations { data: x, m, k, params };
    let isa = exec.isa();
    let ran = kernels::gemm(isa, &rows, weight.panels(), epilogue, output, &mut exec.scratch)?;
    exec.ran(ran);
    Ok(())
}

impl Op for LinearInt8 {
    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let grad = rows(grad)?;
        let mut grads = vec![None; saved.inputs_len()];
        if saved.needs(0) {
            let (weight, m) = (&self.0, grad.shape()[0]);
            let mut dx = vec![0f32; m * weight.panels().k()];
            let dense = grad.contiguous()?;
            let scales = weight.scales().as_kernel();
            kernels::gemm_transposed(
                exec.isa(),
                dense.as_slice()?,
                m,
                weight.panels(),
                &scales,
                &mut dx,
                &mut exec.scratch,
            )?;
            grads[0] = Some(Tensor::from_vec(dx, *saved.shape(0))?);
        }
        if saved.inputs_len() > 1 && saved.needs(1) {
            grads[1] = Some(grad.sum_axis(0, false)?);
        }
        Ok(grads)
    }

    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let bias = graph.optional_constant(inputs, 1, "linear")?;
        let x = graph.quantized(inputs[0], self.0.input(), false)?;
        let weight = Weight::Int8(self.0.clone());
        graph.push_optional(Step::Linear { weight, bias, bounds: Bounds::NONE }, &[x]).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Param, Role, Stored, Var};
    use crate::int8::{Encoding, Granularity, Int8Weight, QParams, QWeight};
    use crate::{Rng, Tensor};
    use tinytorch_kernels::Isa;

    fn quantized(weight: &Tensor, granularity: Granularity, input: Encoding) -> Param {
        let mut param = Param::new(weight.clone(), Role::LinearWeight);
        param.store(Stored::Int8(Int8Weight::new(
            QWeight::quantize(weight, granularity).unwrap(),
            input,
        )));
        param
    }

    #[test]
    fn int8_output_is_near_the_float_output_in_every_mode() {
        let mut rng = Rng::seed(1);
        let weight = Tensor::randn([48, 70], 0.1, &mut rng).unwrap();
        let bias = Param::new(Tensor::randn([48], 0.1, &mut rng).unwrap(), Role::Vector);
        let x = Var::from(Tensor::randn([2, 3, 70], 1.0, &mut rng).unwrap());
        let float = Param::new(weight.clone(), Role::LinearWeight);
        let want = x.linear(&float, Some(&bias), &mut Ctx::eval()).unwrap();
        let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
        let input = [
            Encoding::F32,
            Encoding::PerRow,
            Encoding::Static(QParams::from_range(-4.0, 4.0).unwrap()),
            Encoding::PerRow16,
        ];
        for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
            for input in input {
                let weight = quantized(&weight, granularity, input);
                for isa in Isa::available() {
                    let mut ctx = Ctx::eval().on(isa);
                    let got = x.linear(&weight, Some(&bias), &mut ctx).unwrap();
                    let error = norm(&got.value().sub(want.value()).unwrap()) / norm(want.value());
                    assert!(error < 0.02, "{granularity:?} {input:?} {}: {error}", isa.name());
                }
            }
        }
    }

    #[test]
    fn gradients_pass_through_to_input_and_bias() {
        let mut rng = Rng::seed(2);
        let weight = Tensor::randn([5, 7], 0.5, &mut rng).unwrap();
        let weight = quantized(&weight, Granularity::PerChannel, Encoding::PerRow);
        let bias = Param::new(Tensor::zeros([5]).unwrap(), Role::Vector);
        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::randn([3, 7], 1.0, &mut rng).unwrap());
        let loss = x.linear(&weight, Some(&bias), &mut ctx).unwrap().sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let float = weight.int8().unwrap().dequantize().unwrap();
        let want = Tensor::ones([3, 5]).unwrap().matmul(&float).unwrap();
        assert!(grads.of_input(&x).unwrap().allclose(&want, 1e-5, 1e-5).unwrap());
        assert_eq!(grads.of(&bias).unwrap().to_vec::<f32>().unwrap(), [3.0; 5]);
        assert!(grads.of(&weight).is_none());
    }

    #[test]
    fn activations_that_are_not_finite_are_errors() {
        let weight = Tensor::ones([2, 2]).unwrap();
        let range = QParams::from_range(0.0, 1.0).unwrap();
        for input in [Encoding::PerRow, Encoding::PerRow16, Encoding::Static(range)] {
            let weight = quantized(&weight, Granularity::PerChannel, input);
            for bad in [f32::NAN, f32::INFINITY] {
                let x = Var::from(Tensor::from_vec(vec![1.0, bad], [1, 2]).unwrap());
                let err = x.linear(&weight, None, &mut Ctx::eval()).unwrap_err();
                assert!(err.to_string().contains("finite"), "{err}");
            }
        }
    }
}
