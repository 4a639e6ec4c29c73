//! Pools as layers.

use super::pads::Pads;
use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::graph::PoolGeometry;

/// The largest entry of each window: `y[i, j] = max over window (i, j) of x`. Padding never wins.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::PoolGeometry, nn::{Forward, MaxPool2d}};
/// let image = Tensor::arange(16)?.reshape([1, 1, 4, 4])?;
/// let y = MaxPool2d::new(PoolGeometry::square(2)).forward(&image.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [5.0, 7.0, 13.0, 15.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct MaxPool2d {
    #[module(config)]
    kernel_size: [usize; 2],
    #[module(config)]
    stride: [usize; 2],
    #[module(config)]
    padding: Pads,
    #[module(config)]
    dilation: [usize; 2],
}

/// The mean of each window: `y[i, j] = sum over window (i, j) of x / (kh kw)`, padding as zeros.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::PoolGeometry, nn::{AvgPool2d, Forward}};
/// let image = Tensor::arange(16)?.reshape([1, 1, 4, 4])?;
/// let y = AvgPool2d::new(PoolGeometry::square(2)).forward(&image.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct AvgPool2d {
    #[module(config)]
    kernel_size: [usize; 2],
    #[module(config)]
    stride: [usize; 2],
    #[module(config)]
    padding: Pads,
    #[module(config)]
    dilation: [usize; 2],
}

/// The mean of each channel: `[batch, channels, height, width]` gives `[batch, channels, 1, 1]`.
/// PyTorch's `AdaptiveAvgPool2d(1)`.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, GlobalAvgPool2d}};
/// let images = Tensor::ones([2, 3, 8, 8])?;
/// let y = GlobalAvgPool2d.forward(&images.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [2, 3, 1, 1]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct GlobalAvgPool2d;

impl MaxPool2d {
    /// A pool of these windows.
    pub fn new(geometry: PoolGeometry) -> MaxPool2d {
        let PoolGeometry { kernel: kernel_size, stride, padding, dilation } = geometry;
        MaxPool2d { kernel_size, stride, padding: Pads(padding), dilation }
    }
}

impl AvgPool2d {
    /// A pool of these windows.
    pub fn new(geometry: PoolGeometry) -> AvgPool2d {
        let PoolGeometry { kernel: kernel_size, stride, padding, dilation } = geometry;
        AvgPool2d { kernel_size, stride, padding: Pads(padding), dilation }
    }
}

impl Forward for MaxPool2d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let MaxPool2d { kernel_size: kernel, stride, padding: Pads(padding), dilation } = *self;
        input.max_pool2d(PoolGeometry { kernel, stride, padding, dilation }, ctx)
    }
}

impl Forward for AvgPool2d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let AvgPool2d { kernel_size: kernel, stride, padding: Pads(padding), dilation } = *self;
        input.avg_pool2d(PoolGeometry { kernel, stride, padding, dilation }, ctx)
    }
}

impl Forward for GlobalAvgPool2d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.global_avg_pool2d(ctx)
    }
}
