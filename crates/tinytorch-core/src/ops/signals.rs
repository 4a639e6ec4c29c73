//! Convolutions and pools of signals `[batch, channels, length]`, which are images of one row.

use super::weight::Weighted;
use crate::Result;
use crate::autograd::{Ctx, Param, Var};
use crate::graph::{ConvGeometry, PoolGeometry};
use crate::tensor::TensorError;

impl Var {
    /// A one-dimensional convolution: the value is `[batch, in, length]`, `weight`
    /// `[out, in / groups, 1, k]`, `bias` `[out]`; the result is `[batch, out, out_length]`. What `geometry`
    /// says of columns counts, see [`ConvGeometry::of_signals`]. A weight stored as int8 is multiplied as
    /// int8.
    ///
    /// # Errors
    /// [`TensorError::Shape`] unless the value has three dimensions, otherwise as [`Var::conv2d`].
    pub fn conv1d<'w>(
        &self,
        weight: impl Into<Weighted<'w>>,
        bias: Option<&Param>,
        geometry: ConvGeometry,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let rows = self.one_row_images("conv1d", ctx)?;
        rows.conv2d(weight, bias, geometry.of_signals(), ctx)?.squeeze(2, ctx)
    }

    /// The largest entry of each window of `[batch, channels, length]`; padding never wins. What `geometry`
    /// says of columns counts.
    ///
    /// # Errors
    /// [`TensorError::Shape`] unless the value has three dimensions, otherwise as [`Var::max_pool2d`].
    pub fn max_pool1d(&self, geometry: PoolGeometry, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rows = self.one_row_images("max_pool1d", ctx)?;
        rows.max_pool2d(along_rows(geometry), ctx)?.squeeze(2, ctx)
    }

    /// The mean of each window of `[batch, channels, length]`, padding included as zeros. What `geometry`
    /// says of columns counts.
    ///
    /// # Errors
    /// As [`Var::max_pool1d`].
    pub fn avg_pool1d(&self, geometry: PoolGeometry, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rows = self.one_row_images("avg_pool1d", ctx)?;
        rows.avg_pool2d(along_rows(geometry), ctx)?.squeeze(2, ctx)
    }

    fn one_row_images(&self, op: &'static str, ctx: &mut Ctx<'_>) -> Result<Var> {
        let shape = *self.shape();
        if shape.rank() != 3 {
            let expected = "signals are [batch, channels, length]".into();
            return Err(TensorError::Shape { op, shape, expected }.into());
        }
        self.unsqueeze(2, ctx)
    }
}

/// The windows of images of one row.
fn along_rows(geometry: PoolGeometry) -> PoolGeometry {
    let PoolGeometry { kernel, stride, padding, dilation } = geometry;
    PoolGeometry {
        kernel: [1, kernel[1]],
        stride: [1, stride[1]],
        padding: [[0; 2], padding[1]],
        dilation: [1, dilation[1]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Role, gradcheck};
    use crate::{Rng, Tensor};

    fn signals(shape: [usize; 3]) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(1)).unwrap()
    }

    #[test]
    fn gradients() {
        let weight = Tensor::randn([4, 2, 1, 3], 1.0, &mut Rng::seed(2)).unwrap();
        let bias = Tensor::randn([4], 1.0, &mut Rng::seed(3)).unwrap();
        let weight = Param::new(weight, Role::ConvWeight { groups: 2 });
        let bias = Param::new(bias, Role::Vector);
        let geometry = ConvGeometry::default().with_stride(2).with_dilation(2).with_groups(2);
        let geometry = geometry.with_pads([[0; 2], [2, 1]]);
        let x = [signals([2, 4, 9])];
        let conv = |v: &[Var], ctx: &mut Ctx<'_>| v[0].conv1d(&weight, Some(&bias), geometry, ctx);
        gradcheck(conv, &x, 1e-3).unwrap();
        let windows = PoolGeometry::of_signals(3).with_stride(2).with_pads([[0; 2], [1, 0]]);
        // No two entries are so close that a difference could change which is largest.
        let apart = (0..72).map(|i| (i * 31 % 73) as f32 / 10.0).collect();
        let apart = [Tensor::from_vec(apart, [2, 4, 9]).unwrap()];
        gradcheck(|v, ctx| v[0].max_pool1d(windows, ctx), &apart, 1e-3).unwrap();
        gradcheck(|v, ctx| v[0].avg_pool1d(windows, ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn weights_have_gradients_too() {
        let weight =
            Param::new(signals([3, 2, 2]).unsqueeze(2).unwrap(), Role::ConvWeight { groups: 1 });
        let mut ctx = Ctx::eval().recording();
        let x = Var::from(Tensor::ones([1, 2, 5]).unwrap());
        let y = x.conv1d(&weight, None, ConvGeometry::default(), &mut ctx).unwrap();
        let loss = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        // Each entry of the weight meets a 1 in each of the 4 windows.
        assert_eq!(grads.of(&weight).unwrap().to_vec::<f32>().unwrap(), [4.0; 12]);
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        let image = Var::from(Tensor::ones([1, 2, 3, 4]).unwrap());
        let error = image.max_pool1d(PoolGeometry::of_signals(2), &mut Ctx::eval()).unwrap_err();
        assert!(error.to_string().contains("[batch, channels, length]"), "{error}");
    }
}
