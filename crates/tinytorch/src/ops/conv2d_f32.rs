use super::unfold::Unfold;
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, ConvGeometry, Cost, Edge, Exec, Graph, Step, View, Weight};
use crate::tensor::matmul::gemm;
use crate::tensor::{Shape, Tensor, TensorError, parallel};
use std::sync::Arc;

/// Images whose weight gradients are added up before they are added to the others'. The number is
/// fixed, so that the order of the additions does not depend on the number of threads.
const IMAGES_PER_SUM: usize = 8;

/// `y[n, o] = bias[o] + sum over c, i, j of w[o, c, i, j] x[n, c, stride (y, x) + (i, j) - padding]`,
/// each group of channels on its own. With `X` the [matrix of windows](Unfold) of a group and `G` the
/// gradient of its output: `Y = W X`, `dW = G X^T`, `dX = W^T G` folded back, `db = sum G`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2d {
    pub(crate) geometry: ConvGeometry,
}

/// What a convolution's loops need to know, from shapes that have been checked.
#[derive(Clone, Copy)]
struct Sizes {
    unfold: Unfold,
    groups: usize,
    images: usize,
    /// Output channels of a group.
    out: usize,
}

impl Sizes {
    fn new(geometry: &ConvGeometry, input: &Shape, weight: &Shape) -> Result<Sizes> {
        let out = geometry.output(input, weight)?;
        let unfold = Unfold::new(geometry, input, weight, &out);
        let groups = geometry.groups;
        Ok(Sizes { unfold, groups, images: input[0], out: out[1] / groups })
    }

    fn image_in(&self) -> usize {
        self.groups * self.unfold.image_len()
    }

    fn image_out(&self) -> usize {
        self.groups * self.out * self.unfold.columns()
    }

    fn multiply_adds(&self) -> usize {
        self.images * self.image_out() * self.unfold.rows()
    }

    fn matrix(&self) -> Vec<f32> {
        let len = self.unfold.rows() * self.unfold.columns();
        vec![0.0; if self.unfold.is_identity() { 0 } else { len }]
    }

    /// The matrix of windows of one group of an image, in `scratch` unless it is the image itself.
    fn windows<'a>(&self, image: &'a [f32], group: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let image = &image[group * self.unfold.image_len()..][..self.unfold.image_len()];
        if self.unfold.is_identity() {
            return image;
        }
        self.unfold.unfold(image, scratch);
        scratch
    }

    fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        if y.is_empty() {
            return;
        }
        let (k, n) = (self.unfold.rows(), self.unfold.columns());
        let work = self.multiply_adds();
        let scratch = || self.matrix();
        parallel::for_each_chunk_with(y, self.image_out(), work, scratch, |scratch, image, y| {
            let x = &x[image * self.image_in()..][..self.image_in()];
            for (channel, row) in y.chunks_exact_mut(n).enumerate() {
                row.fill(bias.map_or(0.0, |b| b[channel]));
            }
            for (group, y) in y.chunks_exact_mut(self.out * n).enumerate() {
                let w = &w[group * self.out * k..][..self.out * k];
                let windows = self.windows(x, group, scratch);
                gemm(self.out, k, n, (w, k, 1), (windows, n, 1), y);
            }
        });
    }

    /// Adds to `dx`, which holds zeros.
    fn input_gradient(&self, g: &[f32], w: &[f32], dx: &mut [f32]) {
        if g.is_empty() || dx.is_empty() {
            return;
        }
        let (k, n) = (self.unfold.rows(), self.unfold.columns());
        let work = self.multiply_adds();
        let scratch = || self.matrix();
        parallel::for_each_chunk_with(dx, self.image_in(), work, scratch, |scratch, image, dx| {
            let g = &g[image * self.image_out()..][..self.image_out()];
            for (group, dx) in dx.chunks_exact_mut(self.unfold.image_len()).enumerate() {
                let w = &w[group * self.out * k..][..self.out * k];
                let g = &g[group * self.out * n..][..self.out * n];
                if self.unfold.is_identity() {
                    gemm(k, self.out, n, (w, 1, k), (g, n, 1), dx);
                    continue;
                }
                scratch.fill(0.0);
                gemm(k, self.out, n, (w, 1, k), (g, n, 1), scratch);
                self.unfold.fold(scratch, dx);
            }
        });
    }

    /// Adds to `dw`, which holds zeros.
    fn weight_gradient(&self, g: &[f32], x: &[f32], dw: &mut [f32]) {
        if g.is_empty() || dw.is_empty() {
            return;
        }
        let (k, n, len) = (self.unfold.rows(), self.unfold.columns(), dw.len());
        let mut sums = vec![0.0; len * self.images.div_ceil(IMAGES_PER_SUM)];
        let work = self.multiply_adds();
        let scratch = || self.matrix();
        parallel::for_each_chunk_with(&mut sums, len, work, scratch, |scratch, part, sum| {
            let first = part * IMAGES_PER_SUM;
            for image in first..self.images.min(first + IMAGES_PER_SUM) {
                let x = &x[image * self.image_in()..][..self.image_in()];
                let g = &g[image * self.image_out()..][..self.image_out()];
                for (group, sum) in sum.chunks_exact_mut(self.out * k).enumerate() {
                    let windows = self.windows(x, group, scratch);
                    let g = &g[group * self.out * n..][..self.out * n];
                    gemm(self.out, n, k, (g, n, 1), (windows, 1, n), sum);
                }
            }
        });
        for sum in sums.chunks_exact(len) {
            dw.iter_mut().zip(sum).for_each(|(d, s)| *d += s);
        }
    }
}

/// Convolves `x` with `w` into `out`, which has the length of [`ConvGeometry::output`].
pub(super) fn conv2d(
    geometry: &ConvGeometry,
    x: &View<'_>,
    w: &View<'_>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<()> {
    let sizes = Sizes::new(geometry, &x.shape, &w.shape)?;
    sizes.forward(x.f32()?, w.f32()?, bias, out);
    Ok(())
}

/// The gradient of a convolution's input, which has this shape, from that of its output.
pub(super) fn conv2d_input_gradient(
    geometry: &ConvGeometry,
    shape: &Shape,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<Tensor> {
    let sizes = Sizes::new(geometry, shape, weight.shape())?;
    let (weight, grad) = (weight.contiguous()?, grad.contiguous()?);
    let mut dx = Tensor::zeros(*shape)?;
    sizes.input_gradient(grad.as_slice()?, weight.as_slice()?, dx.as_mut_slice()?);
    Ok(dx)
}

impl Compute for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
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

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let bias = inputs.get(2).map(View::f32).transpose()?;
        conv2d(&self.geometry, &inputs[0], &inputs[1], bias, out)
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

    fn backward(&self, saved: &Saved, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let sizes = Sizes::new(&self.geometry, saved.shape(0), saved.shape(1))?;
        let mut grads = vec![None; saved.inputs_len()];
        let dense = grad.contiguous()?;
        let g = dense.as_slice::<f32>()?;
        if saved.needs(0) {
            let weight = saved.input(1)?;
            grads[0] = Some(conv2d_input_gradient(&self.geometry, saved.shape(0), weight, &dense)?);
        }
        if saved.needs(1) {
            let x = saved.input(0)?.contiguous()?;
            let mut dw = Tensor::zeros(*saved.shape(1))?;
            sizes.weight_gradient(g, x.as_slice()?, dw.as_mut_slice()?);
            grads[1] = Some(dw);
        }
        if saved.inputs_len() > 2 && saved.needs(2) {
            grads[2] = Some(dense.flatten(2, 3)?.sum_axis(2, false)?.sum_axis(0, false)?);
        }
        Ok(grads)
    }

    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        let weight = Weight::F32(graph.constant_at(inputs[1], "conv2d")?.clone());
        let bias = inputs.get(2).map(|&b| graph.constant_at(b, "conv2d")).transpose()?.cloned();
        let geometry = self.geometry;
        graph.push(Step::Conv2d { weight, bias, geometry, relu: false }, &inputs[..1])
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
                ConvGeometry { stride: [2, 1], padding: [1, 2], groups: 1 },
                [1, 2, 4, 3],
                [2, 2, 3, 3],
            ),
            (plain.with_groups(2).with_padding(1), [2, 4, 3, 3], [2, 2, 2, 2]),
            (plain.with_groups(3).with_stride(2), [1, 3, 4, 4], [6, 1, 2, 2]),
            (plain, [2, 3, 2, 2], [4, 3, 1, 1]),
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
