//! Convolutions by int8 weights.

use super::channels;
use super::conv2d_f32::{conv2d, conv2d_input_gradient};
use crate::Result;
use crate::autograd::{Op, Saved};
use crate::graph::{Bounds, Compute, ConvGeometry, Cost, Edge, Exec, Graph, Step, View, Weight};
use crate::int8::{Encoding, Int8Weight};
use crate::tensor::{Shape, Tensor};
use tinytorch_kernels::Ran;
use tinytorch_kernels::int8 as kernels;

/// A convolution plus bias with an int8 kernel: each image is quantized as the weight says and laid
/// out pixel by pixel, products are summed exactly in 32-bit integers, and the epilogue gives
/// floats, channel by channel.
///
/// The weight is frozen; the gradient passes through to the input (as if nothing had been rounded:
/// Bengio et al., 2013) and to the bias.
#[derive(Clone, Debug)]
pub struct Conv2dInt8 {
    /// `[out, in / groups, kh, kw]`, and how the images are quantized.
    pub weight: Int8Weight,
    /// How the kernel moves.
    pub geometry: ConvGeometry,
}

impl Conv2dInt8 {
    /// Convolves quantized images of `shape`, `[batch, channels, height, width]`: what eager layers
    /// and plans both run.
    pub(crate) fn convolve(
        &self,
        shape: &Shape,
        images: &kernels::Images<'_>,
        epilogue: &kernels::Epilogue<'_>,
        (output, layout): (kernels::Output<'_>, kernels::Layout),
        exec: &mut Exec,
    ) -> Result<()> {
        let sizes = self.geometry.kernel_shape(shape, &self.weight.shape());
        let (isa, panels) = (exec.isa(), self.weight.panels());
        let scratch = &mut exec.scratch;
        let ran = kernels::conv2d(isa, &sizes, images, panels, epilogue, output, layout, scratch)?;
        exec.ran(ran);
        Ok(())
    }
}

impl Compute for Conv2dInt8 {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.geometry.output(&inputs[0], &self.weight.shape())
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (x, weight, isa) = (&inputs[0], &self.weight, exec.isa());
        let bias = weight.offset(inputs.get(1).map(View::f32).transpose()?);
        let bias = bias.as_deref();
        if weight.input() == Encoding::F32 {
            let float = weight.dequantize()?;
            exec.ran(Ran::float("conv2d_weight_only"));
            return conv2d(isa, &self.geometry, x, &View::of(&float)?, bias, out);
        }
        let mut activation = std::mem::take(&mut exec.activation);
        activation.quantize_images(isa, weight.input(), x.f32()?, &x.shape)?;
        let (data, params) = (activation.data(), activation.params(weight.input()));
        let epilogue = kernels::Epilogue { scales: weight.scales().as_kernel(), bias, relu: false };
        let output = (kernels::Output::F32(out), kernels::Layout::Nchw);
        let images = kernels::Images { data, params };
        let done = self.convolve(&x.shape, &images, &epilogue, output, exec);
        exec.activation = activation;
        done
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let per_output = (2 * self.weight.panels().k() + usize::from(inputs.len() > 1)) as u64;
        let cost = Cost::per_element(inputs, output, per_output);
        Cost { read: cost.read + self.weight.bytes() as u64, ..cost }
    }
}

impl Op for Conv2dInt8 {
    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut grads = vec![None; saved.inputs_len()];
        if saved.needs(0) {
            let weight = self.weight.dequantize()?;
            let (isa, shape) = (exec.isa(), saved.shape(0));
            grads[0] = Some(conv2d_input_gradient(isa, &self.geometry, shape, &weight, grad)?);
        }
        if saved.inputs_len() > 1 && saved.needs(1) {
            let dense = grad.contiguous()?;
            let sums = channels::sums(exec.isa(), dense.shape(), dense.as_slice()?);
            grads[1] = Some(Tensor::from_vec(sums, [dense.shape()[1]])?);
        }
        Ok(grads)
    }

    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let bias = graph.optional_constant(inputs, 1, "conv2d")?;
        let (weight, geometry) = (Weight::Int8(self.weight.clone()), self.geometry);
        let x = graph.quantized(inputs[0], self.weight.input(), true)?;
        let step = Step::Conv2d { weight, bias, geometry, bounds: Bounds::NONE };
        graph.push_optional(step, &[x]).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Param, Role, Stored, Var};
    use crate::graph::ConvGeometry;
    use crate::int8::{Encoding, Granularity, Int8Weight, QParams, QWeight};
    use crate::{Rng, Tensor};
    use tinytorch_kernels::Isa;

    fn param(weight: &Tensor, groups: usize) -> Param {
        Param::new(weight.clone(), Role::ConvWeight { groups })
    }

    fn quantized(
        weight: &Tensor,
        groups: usize,
        granularity: Granularity,
        input: Encoding,
    ) -> Param {
        let mut param = param(weight, groups);
        let packed = QWeight::quantize(weight, granularity).unwrap();
        param.store(Stored::Int8(Int8Weight::new(packed, input)));
        param
    }

    #[test]
    fn int8_output_is_near_the_float_output_in_every_mode() {
        let mut rng = Rng::seed(1);
        for (groups, stride) in [(1, 1), (2, 2), (6, 1)] {
            let geometry =
                ConvGeometry::default().with_padding(1).with_stride(stride).with_groups(groups);
            let weight = Tensor::randn([12, 6 / groups, 3, 3], 0.2, &mut rng).unwrap();
            let bias = Param::new(Tensor::randn([12], 0.1, &mut rng).unwrap(), Role::Vector);
            let x = Var::from(Tensor::randn([3, 6, 7, 5], 1.0, &mut rng).unwrap());
            let float = param(&weight, groups);
            let want = x.conv2d(&float, Some(&bias), geometry, &mut Ctx::eval()).unwrap();
            let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
            let range = QParams::from_range(-4.0, 4.0).unwrap();
            let range = Encoding::Static(range);
            for input in [Encoding::F32, Encoding::PerRow, Encoding::PerRow16, range] {
                for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
                    let weight = quantized(&weight, groups, granularity, input);
                    for isa in Isa::available() {
                        let mut ctx = Ctx::eval().on(isa);
                        let got = x.conv2d(&weight, Some(&bias), geometry, &mut ctx).unwrap();
                        let off = got.value().sub(want.value()).unwrap();
                        let error = norm(&off) / norm(want.value());
                        assert!(error < 0.02, "{groups} {granularity:?} {input:?}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_pass_through_to_input_and_bias() {
        let mut rng = Rng::seed(2);
        let geometry = ConvGeometry::default().with_padding(1);
        let weight = Tensor::randn([4, 3, 3, 3], 0.2, &mut rng).unwrap();
        let int8 = quantized(&weight, 1, Granularity::PerChannel, Encoding::PerRow);
        let float = param(&int8.int8().unwrap().dequantize().unwrap(), 1);
        let bias = Param::new(Tensor::zeros([4]).unwrap(), Role::Vector);
        let image = Tensor::randn([2, 3, 5, 5], 1.0, &mut rng).unwrap();
        let gradients = |weight: &Param| {
            let mut ctx = Ctx::eval().recording();
            let x = ctx.input(&image);
            let y = x.conv2d(weight, Some(&bias), geometry, &mut ctx).unwrap();
            let loss = y.sum(&mut ctx).unwrap();
            let grads = ctx.backward(&loss).unwrap();
            (grads.of_input(&x).unwrap().clone(), grads.of(&bias).unwrap().clone())
        };
        let (got, want) = (gradients(&int8), gradients(&float));
        assert!(got.0.allclose(&want.0, 1e-5, 1e-5).unwrap());
        assert!(got.1.allclose(&want.1, 1e-5, 1e-5).unwrap());
    }
}
