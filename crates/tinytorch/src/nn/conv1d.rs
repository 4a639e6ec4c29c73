//! Convolutions of signals.

use super::given::Given;
use super::{Conv2d, Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Var};
use crate::graph::ConvGeometry;
use crate::ops::Weight;
use crate::tensor::Tensor;

/// A one-dimensional convolution (cross-correlation, as in PyTorch):
/// `y[n, o, l] = bias[o] + sum over c, j of weight[o, c, j] x[n, c, s l + d j - p]`
/// with stride `s`, dilation `d` and padding `p`; each of the `groups` sees its own part of the channels. The
/// input is `[batch, in_channels, length]`.
///
/// A signal is an image of one row, and so the weight is held as that of a [`Conv2d`],
/// `[out_channels, in_channels / groups, 1, kernel_size]`; the bias is `[out_channels]`. Both start uniform
/// in `±1 / sqrt(in_channels / groups * kernel_size)`.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::ConvGeometry, nn::{Conv1d, Forward, Init}};
/// let halving = ConvGeometry::default().with_stride(2).with_padding(1);
/// let layer = Conv1d::new(3, 8, 3, halving, &mut Init::seed(0))?;
/// let y = layer.forward(&Tensor::ones([1, 3, 32])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [1, 8, 16]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Conv1d {
    #[module(config)]
    in_channels: usize,
    #[module(config)]
    out_channels: usize,
    #[module(config)]
    kernel_size: usize,
    #[module(config)]
    stride: usize,
    #[module(config)]
    padding: [usize; 2],
    #[module(config)]
    dilation: usize,
    #[module(config)]
    groups: usize,
    /// `[out_channels, in_channels / groups, 1, kernel_size]`.
    pub weight: Weight,
    /// `[out_channels]`.
    pub bias: Option<Param>,
}

impl Conv1d {
    /// A layer with a bias. What `geometry` says of columns counts; its default is PyTorch's: stride 1, no
    /// padding, dilation 1, one group.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
        geometry: ConvGeometry,
        init: &mut Init,
    ) -> Result<Conv1d> {
        let (kernel, geometry) = ([1, kernel_size], geometry.of_signals());
        Ok(of_rows(Conv2d::new(in_channels, out_channels, kernel, geometry, init)?))
    }

    /// A layer without a bias.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn without_bias(
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
        geometry: ConvGeometry,
        init: &mut Init,
    ) -> Result<Conv1d> {
        let (kernel, geometry) = ([1, kernel_size], geometry.of_signals());
        Ok(of_rows(Conv2d::without_bias(in_channels, out_channels, kernel, geometry, init)?))
    }

    /// A layer of a weight `[out_channels, in_channels / groups, kernel_size]`, as PyTorch has it, and a bias
    /// `[out_channels]` that are there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, graph::ConvGeometry, nn::{Conv1d, Forward}};
    /// let layer = Conv1d::from_tensors(Tensor::ones([1, 1, 2])?, None, ConvGeometry::default())?;
    /// let y = layer.forward(&Tensor::arange(4)?.reshape([1, 1, 4])?.into(), &mut Ctx::eval())?;
    /// assert_eq!(y.value().to_vec::<f32>()?, [1.0, 3.0, 5.0]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Conv2d::from_tensors`].
    pub fn from_tensors(
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Conv1d> {
        let [_, _, _] = Given("Conv1d").dims(&weight)?;
        let weight = weight.unsqueeze(2)?;
        Ok(of_rows(Conv2d::from_tensors(weight, bias, geometry.of_signals())?))
    }

    /// How the kernel moves along the row.
    pub fn geometry(&self) -> ConvGeometry {
        let Conv1d { stride, padding, dilation, groups, .. } = *self;
        ConvGeometry {
            stride: [1, stride],
            padding: [[0; 2], padding],
            dilation: [1, dilation],
            groups,
        }
    }
}

/// The convolution of signals that a convolution of images of one row is.
fn of_rows(layer: Conv2d) -> Conv1d {
    let ConvGeometry { stride, padding, dilation, groups } = layer.geometry();
    let [out_channels, in_group, _, kernel_size] =
        [0, 1, 2, 3].map(|axis| layer.weight.shape()[axis]);
    Conv1d {
        in_channels: in_group * groups,
        out_channels,
        kernel_size,
        stride: stride[1],
        padding: padding[1],
        dilation: dilation[1],
        groups,
        weight: layer.weight,
        bias: layer.bias,
    }
}

impl Forward for Conv1d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.conv1d(&self.weight, self.bias.as_ref(), self.geometry(), ctx)
    }
}
