//! Convolutions.

use super::given::Given;
use super::keep::keep;
use super::pads::Pads;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::graph::ConvGeometry;
use crate::ops::Weight;
use crate::tensor::{Shape, Tensor};

/// A two-dimensional convolution (cross-correlation, as in PyTorch):
/// `y[n, o, y, x] = bias[o] + sum over c, i, j of weight[o, c, i, j] x[n, c, s y + i - p, s x + j - p]`
/// with stride `s` and padding `p`; each of the `groups` sees its own part of the channels.
///
/// The weight is `[out_channels, in_channels / groups, kh, kw]` and the bias `[out_channels]`; both
/// start uniform in `±1 / sqrt(in_channels / groups * kh * kw)`. The input is
/// `[batch, in_channels, height, width]`.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::ConvGeometry, nn::{Conv2d, Forward, Init}};
/// let halving = ConvGeometry::default().with_stride(2).with_padding(1);
/// let layer = Conv2d::new(3, 8, [3, 3], halving, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([1, 3, 32, 32])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [1, 8, 16, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Conv2d {
    #[module(config)]
    in_channels: usize,
    #[module(config)]
    out_channels: usize,
    #[module(config)]
    kernel_size: [usize; 2],
    #[module(config)]
    stride: [usize; 2],
    #[module(config)]
    padding: Pads,
    #[module(config)]
    dilation: [usize; 2],
    #[module(config)]
    groups: usize,
    /// `[out_channels, in_channels / groups, kh, kw]`.
    pub weight: Weight,
    /// `[out_channels]`.
    pub bias: Option<Param>,
}

impl Conv2d {
    /// A layer with a bias.
    ///
    /// # Errors
    /// [`GeometryError`](crate::graph::GeometryError) for a stride or kernel of 0 and for groups that
    /// do not divide the channels, [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for
    /// impossible sizes.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: [usize; 2],
        geometry: ConvGeometry,
        init: &mut Init,
    ) -> Result<Conv2d> {
        let layer = Conv2d::without_bias(in_channels, out_channels, kernel_size, geometry, init)?;
        let bias = init.uniform([out_channels], layer.bound(), Role::Vector)?;
        Ok(Conv2d { bias: Some(bias), ..layer })
    }

    /// A layer without a bias, such as one that a batch norm follows.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn without_bias(
        in_channels: usize,
        out_channels: usize,
        kernel_size: [usize; 2],
        geometry: ConvGeometry,
        init: &mut Init,
    ) -> Result<Conv2d> {
        geometry.check(in_channels, out_channels, kernel_size)?;
        let ConvGeometry { stride, padding, dilation, groups } = geometry;
        let [kh, kw] = kernel_size;
        let shape = [out_channels, in_channels / groups, kh, kw];
        let bound = bound(&shape);
        let weight = init.uniform(shape, bound, Role::ConvWeight { groups })?;
        Ok(Conv2d {
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding: Pads(padding),
            dilation,
            groups,
            weight: weight.into(),
            bias: None,
        })
    }

    /// A layer of a weight `[out_channels, in_channels / groups, kh, kw]` and a bias `[out_channels]` that
    /// are there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, graph::ConvGeometry, nn::{Conv2d, Forward}};
    /// let layer = Conv2d::from_tensors(Tensor::ones([1, 1, 2, 2])?, None, ConvGeometry::default())?;
    /// let y = layer.forward(&Tensor::ones([1, 1, 3, 3])?.into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().to_vec::<f32>()?, [4.0; 4]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Conv2d::new`], [`LayerError::GivenRank`](super::LayerError::GivenRank) or
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensors(
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Conv2d> {
        let given = Given("Conv2d");
        let [outputs, in_group, kh, kw] = given.dims(&weight)?;
        let inputs = in_group.saturating_mul(geometry.groups);
        let mut init = Init::absent();
        let mut layer = Conv2d::without_bias(inputs, outputs, [kh, kw], geometry, &mut init)?;
        given.store("weight", &mut layer.weight, weight)?;
        if let Some(bias) = bias {
            let mut param = Param::absent(Shape::new(&[outputs])?, Role::Vector);
            given.store("bias", &mut param, bias)?;
            layer.bias = Some(param);
        }
        Ok(layer)
    }

    /// How the kernel moves.
    pub fn geometry(&self) -> ConvGeometry {
        let Conv2d { stride, padding: Pads(padding), dilation, groups, .. } = *self;
        ConvGeometry { stride, padding, dilation, groups }
    }

    /// Keeps these outputs, or leaves the layer half changed with an error.
    pub(crate) fn keep_outputs(&mut self, kept: &[usize]) -> Result<()> {
        keep(&mut self.weight, 0, kept)?;
        self.out_channels = kept.len();
        self.bias.as_mut().map_or(Ok(()), |bias| keep(bias, 0, kept))
    }

    /// Keeps these inputs of a convolution without groups.
    pub(crate) fn keep_inputs(&mut self, kept: &[usize]) -> Result<()> {
        self.in_channels = kept.len();
        keep(&mut self.weight, 1, kept)
    }

    fn bound(&self) -> f32 {
        bound(&self.weight.shape())
    }
}

/// The bound of a weight's first values: `1 / sqrt(inputs of an output)`.
fn bound(weight: &[usize]) -> f32 {
    1.0 / weight[1..].iter().map(|&d| d as f32).product::<f32>().max(1.0).sqrt()
}

impl Forward for Conv2d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.conv2d(&self.weight, self.bias.as_ref(), self.geometry(), ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depthwise_layer_has_one_kernel_per_channel() {
        let geometry = ConvGeometry::default().with_groups(4);
        let layer = Conv2d::new(4, 8, [3, 3], geometry, &mut Init::seed(0)).unwrap();
        assert_eq!(layer.weight.shape().dims(), [8, 1, 3, 3]);
        let x = Tensor::ones([2, 4, 5, 5]).unwrap();
        let y = layer.forward(&x.into(), &mut Ctx::eval()).unwrap();
        assert_eq!(y.shape().dims(), [2, 8, 3, 3]);
        assert!(layer.named_layers()[0].1.config.contains(&("groups", "4".to_string())));
    }

    #[test]
    fn impossible_layers_are_refused_when_they_are_made() {
        let make = |geometry, kernel| Conv2d::new(4, 6, kernel, geometry, &mut Init::seed(0));
        let plain = ConvGeometry::default();
        assert!(make(plain.with_groups(0), [3, 3]).is_err());
        assert!(make(plain.with_groups(4), [3, 3]).is_err());
        assert!(make(plain.with_stride(0), [3, 3]).is_err());
        assert!(make(plain, [0, 3]).is_err());
        assert!(make(plain, [usize::MAX, 3]).is_err());
    }
}
