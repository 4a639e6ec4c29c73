//! Convolutions of floats.

use super::channels;
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{
    Bounds, Compute, ConvGeometry, Cost, Edge, Exec, Graph, Properties, Step, View, Weight,
};
use crate::tensor::{Shape, Tensor, TensorError};
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::conv::{self as kernels, ConvWeight, Ending};

/// `y[n, o] = bias[o] + sum over c, i, j of w[o, c, i, j] x[n, c, stride (y, x) + (i, j) - padding]`,
/// each group of channels on its own. With `X` the matrix of windows of a group and `G` the gradient
/// of its output: `Y = W X`, `dW = G X^T`, `dX = W^T G` folded back, `db = sum G`.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// How the kernel moves.
    pub geometry: ConvGeometry,
}

/// Convolves `x` with `w` into `out`, which has the length of [`ConvGeometry::output`].
pub(super) fn conv2d(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &View<'_>,
    w: &View<'_>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<()> {
    geometry.output(&x.shape, &w.shape)?;
    let sizes = geometry.kernel_shape(&x.shape, &w.shape);
    let ending = Ending { bias, ..Ending::NONE };
    kernels::conv2d(isa, &sizes, x.f32()?, ConvWeight::Plain(w.f32()?), ending, out);
    Ok(())
}

/// The gradient of a convolution's input, which has this shape, from that of its output.
pub(super) fn conv2d_input_gradient(
    isa: Isa,
    geometry: &ConvGeometry,
    shape: &Shape,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<Tensor> {
    let sizes = geometry.kernel_shape(shape, weight.shape());
    let (weight, grad) = (weight.contiguous()?, grad.contiguous()?);
    let (w, g, mut dx) = (weight.as_slice()?, grad.as_slice()?, vec![0f32; shape.len()]);
    kernels::conv2d_backward_input(isa, &sizes, w, g, &mut dx);
    Tensor::from_vec(dx, *shape)
}

impl Compute for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn properties(&self) -> Properties {
        Properties { keeps_samples_apart: true, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = self.geometry.output(&inputs[0], &inputs[1])?;
        if let Some(bias) = inputs.get(2).filter(|b| b.dims() != &inputs[1][..1]) {
            return Err(TensorError::Mismatch {
                op: "conv2d",
                left: inputs[1],
                right: *bias,
                expected: "the bias needs one entry per output channel of the weight",
            }
            .into());
        }
        Ok(shape)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let bias = inputs.get(2).map(View::f32).transpose()?;
        conv2d(exec.isa(), &self.geometry, &inputs[0], &inputs[1], bias, out)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let taps: usize = inputs[1].iter().skip(1).product();
        let per_output = 2 * taps + usize::from(inputs.len() > 2);
        Cost::per_element(inputs, output, per_output as u64)
    }
}

impl Op for Conv2d {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut grads = vec![None; saved.inputs_len()];
        let dense = grad.contiguous()?;
        if saved.needs(0) {
            let weight = saved.input(1)?;
            let (isa, shape) = (exec.isa(), saved.shape(0));
            grads[0] = Some(conv2d_input_gradient(isa, &self.geometry, shape, weight, &dense)?);
        }
        if saved.needs(1) {
            let (x, shape) = (saved.input(0)?.contiguous()?, *saved.shape(1));
            let sizes = self.geometry.kernel_shape(saved.shape(0), &shape);
            let mut dw = vec![0f32; shape.len()];
            let (x, g) = (x.as_slice()?, dense.as_slice()?);
            kernels::conv2d_backward_weight(exec.isa(), &sizes, x, g, &mut dw);
            grads[1] = Some(Tensor::from_vec(dw, shape)?);
        }
        if saved.inputs_len() > 2 && saved.needs(2) {
            let sums = channels::sums(exec.isa(), dense.shape(), dense.as_slice()?);
            grads[2] = Some(Tensor::from_vec(sums, [dense.shape()[1]])?);
        }
        Ok(grads)
    }

    fn lower(&self, graph: &mut Graph, inputs: &[Option<Edge>]) -> Result<Option<Edge>> {
        let weight = Weight::F32(graph.constant_at(inputs[1], "conv2d")?.clone());
        let bias = graph.optional_constant(inputs, 2, "conv2d")?;
        let step = Step::Conv2d { weight, bias, geometry: self.geometry, bounds: Bounds::NONE };
        graph.push_optional(step, &inputs[..1]).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::Conv2d;
    use crate::autograd::{Ctx, Param, Role, Var, gradcheck};
    use crate::graph::ConvGeometry;
    use crate::{Rng, Tensor};

    fn randn(shape: [usize; 4], seed: u64) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    #[test]
    fn gradients_of_input_weight_and_bias() {
        let plain = ConvGeometry::default();
        let cases = [
            (plain, [2, 2, 4, 3], [3, 2, 3, 2]),
            (
                ConvGeometry { stride: [2, 1], ..plain.with_pads([[1, 1], [2, 2]]) },
                [1, 2, 4, 3],
                [2, 2, 3, 3],
            ),
            (plain.with_groups(2).with_padding(1), [2, 4, 3, 3], [2, 2, 2, 2]),
            (plain.with_groups(3).with_stride(2), [1, 3, 4, 4], [6, 1, 2, 2]),
            (plain, [2, 3, 2, 2], [4, 3, 1, 1]),
            (plain.with_dilation(2).with_pads([[1, 0], [0, 2]]), [1, 2, 5, 4], [2, 2, 3, 2]),
            (plain.with_stride(2).with_dilation(3).of_signals(), [2, 2, 1, 9], [3, 2, 1, 2]),
        ];
        for (geometry, x, w) in cases {
            let bias = Tensor::randn([w[0]], 1.0, &mut Rng::seed(3)).unwrap();
            let inputs = [randn(x, 1), randn(w, 2), bias];
            let op = |v: &[Var], ctx: &mut Ctx<'_>| {
                ctx.apply(Conv2d { geometry }, &[&v[0], &v[1], &v[2]])
            };
            gradcheck(op, &inputs, 1e-3).unwrap();
            let op = |v: &[Var], ctx: &mut Ctx<'_>| ctx.apply(Conv2d { geometry }, &[&v[0], &v[1]]);
            gradcheck(op, &inputs[..2], 1e-3).unwrap();
        }
    }

    #[test]
    fn a_known_convolution() {
        let x = Var::from(Tensor::arange(9).unwrap().reshape([1, 1, 3, 3]).unwrap());
        let weight = Param::new(
            Tensor::from_vec(vec![1.0, 0.0, 0.0, -1.0], [1, 1, 2, 2]).unwrap(),
            Role::ConvWeight { groups: 1 },
        );
        let bias = Param::new(Tensor::full(10f32, [1]).unwrap(), Role::Vector);
        let mut ctx = Ctx::eval();
        let y = x.conv2d(&weight, Some(&bias), ConvGeometry::default(), &mut ctx).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [6.0; 4]);
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let geometry = ConvGeometry::default().with_padding(1);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut ctx = Ctx::eval().recording();
                let vars = [randn([20, 4, 8, 8], 1), randn([8, 4, 3, 3], 2)].map(|t| ctx.input(&t));
                let y = ctx.apply(Conv2d { geometry }, &[&vars[0], &vars[1]]).unwrap();
                let loss = y.mul(&y, &mut ctx).unwrap().sum(&mut ctx).unwrap();
                let grads = ctx.backward(&loss).unwrap();
                vars.map(|v| grads.of_input(&v).unwrap().to_vec::<f32>().unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() {
        let x = Var::from(Tensor::zeros([0, 2, 4, 4]).unwrap());
        let w = Var::from(randn([3, 2, 3, 3], 1));
        let geometry = ConvGeometry::default();
        let y = Ctx::eval().apply(Conv2d { geometry }, &[&x, &w]).unwrap();
        assert_eq!(y.shape().dims(), [0, 3, 2, 2]);
        let no_channels =
            [Tensor::zeros([2, 0, 4, 4]).unwrap(), Tensor::zeros([3, 0, 3, 3]).unwrap()];
        let op = |v: &[Var], ctx: &mut Ctx<'_>| ctx.apply(Conv2d { geometry }, &[&v[0], &v[1]]);
        gradcheck(op, &no_channels, 1e-3).unwrap();
    }
}
