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

/// The largest entry of each window of a signal `[batch, channels, length]`. Padding never wins.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::PoolGeometry, nn::{Forward, MaxPool1d}};
/// let signal = Tensor::arange(6)?.reshape([1, 1, 6])?;
/// let y = MaxPool1d::new(PoolGeometry::of_signals(2)).forward(&signal.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [1.0, 3.0, 5.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct MaxPool1d {
    #[module(config)]
    kernel_size: usize,
    #[module(config)]
    stride: usize,
    #[module(config)]
    padding: [usize; 2],
    #[module(config)]
    dilation: usize,
}

/// The mean of each window of a signal `[batch, channels, length]`, padding as zeros.
///
/// ```
/// use tinytorch::{Tensor, autograd::Ctx, graph::PoolGeometry, nn::{AvgPool1d, Forward}};
/// let signal = Tensor::arange(6)?.reshape([1, 1, 6])?;
/// let y = AvgPool1d::new(PoolGeometry::of_signals(2)).forward(&signal.into(), &mut Ctx::eval())?;
/// assert_eq!(y.value().to_vec::<f32>()?, [0.5, 2.5, 4.5]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct AvgPool1d {
    #[module(config)]
    kernel_size: usize,
    #[module(config)]
    stride: usize,
    #[module(config)]
    padding: [usize; 2],
    #[module(config)]
    dilation: usize,
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

/// The windows of images of one row.
fn rows(kernel: usize, stride: usize, padding: [usize; 2], dilation: usize) -> PoolGeometry {
    PoolGeometry {
        kernel: [1, kernel],
        stride: [1, stride],
        padding: [[0; 2], padding],
        dilation: [1, dilation],
    }
}

impl MaxPool1d {
    /// A pool of the windows that `geometry` has along a row;
    /// [`PoolGeometry::of_signals`] has PyTorch's defaults: side by side, no padding, dilation 1.
    pub fn new(geometry: PoolGeometry) -> MaxPool1d {
        let PoolGeometry { kernel: [_, kernel_size], stride: [_, stride], .. } = geometry;
        let PoolGeometry { padding: [_, padding], dilation: [_, dilation], .. } = geometry;
        MaxPool1d { kernel_size, stride, padding, dilation }
    }
}

impl AvgPool1d {
    /// A pool of the windows that `geometry` has along a row;
    /// [`PoolGeometry::of_signals`] has PyTorch's defaults: side by side, no padding.
    pub fn new(geometry: PoolGeometry) -> AvgPool1d {
        let MaxPool1d { kernel_size, stride, padding, dilation } = MaxPool1d::new(geometry);
        AvgPool1d { kernel_size, stride, padding, dilation }
    }
}

impl Forward for MaxPool1d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.max_pool1d(rows(self.kernel_size, self.stride, self.padding, self.dilation), ctx)
    }
}

impl Forward for AvgPool1d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        input.avg_pool1d(rows(self.kernel_size, self.stride, self.padding, self.dilation), ctx)
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
