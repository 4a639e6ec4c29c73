//! Transposed convolutions of volumes, as those of images: what a kernel gives of each slice in depth is added where it
//! meets.

use super::{values, volume};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Border, ConvTranspose2d, Gather, Pad};
use tinytorch_core::tensor::{Tensor, TensorError};

/// How a transposed convolution moves along one axis.
#[derive(Clone, Copy)]
pub(super) struct Along {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) pads: [usize; 2],
    /// Entries beyond the last that the kernel reaches.
    pub(super) extra: usize,
}

impl Along {
    /// How many entries it gives of so many.
    pub(super) fn reached(&self, len: usize) -> Option<usize> {
        let span = self.kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let full = len.checked_sub(1)?.checked_mul(self.stride)?.checked_add(span)?;
        full.checked_add(self.extra)?.checked_sub(self.pads[0])?.checked_sub(self.pads[1])
    }
}

/// The transposed convolution of a volume with a weight `[in, out / groups, depth, rows, columns]`; `of_images` is the
/// same for one slice.
pub(super) fn of_volume(
    x: &Var,
    weight: &Var,
    depth: &Along,
    of_images: ConvTranspose2d,
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let (shape, len) = (*x.shape(), x.shape()[2]);
    let wrong = || {
        let expected = "borders in depth that leave a slice".to_string();
        TensorError::Shape { op: "conv_transpose", shape, expected }
    };
    let slices = depth.reached(len).filter(|slices| *slices > 0).ok_or_else(wrong)?;
    let images = volume::held(x, ctx)?.permute(&[0, 2, 1, 3, 4], ctx)?.flatten(0, 1, ctx)?;
    // The places of the kernel in depth stay together with the channel that they give, so that groups do too.
    let weight = weight.flatten(1, 2, ctx)?;
    let y = ctx.apply(of_images, &[&images, &weight])?;
    let (channels, rows, columns) = (y.shape()[1] / depth.kernel, y.shape()[2], y.shape()[3]);
    let sizes = [len, channels, depth.kernel, rows.saturating_mul(columns)].map(|size| size as i64);
    let y = y.reshape_to(&values::list(&[&[-1], &sizes[..]].concat())?, ctx)?;
    let y = y.permute(&[0, 2, 1, 3, 4], ctx)?.flatten(2, 3, ctx)?;
    // Behind the slices that are there one of zeros, for places at which none meets the kernel.
    let none = (len * depth.kernel) as i64;
    let (behind, zero) = (values::list(&[0, 0, 0, 0, 0, 0, 1, 0])?, Var::from(Tensor::scalar(0.0)));
    let y = ctx.apply(Pad(Border::Constant), &[&y, &behind, &zero])?;
    let mut sum: Option<Var> = None;
    for place in 0..depth.kernel {
        let source = |slice: usize| {
            let away = (slice + depth.pads[0]).checked_sub(place * depth.dilation)?;
            let met = away / depth.stride;
            let is_met = away.is_multiple_of(depth.stride) && met < len;
            is_met.then_some((met * depth.kernel + place) as i64)
        };
        let sources: Vec<i64> = (0..slices).map(|slice| source(slice).unwrap_or(none)).collect();
        let own = ctx.apply(Gather { axis: 2 }, &[&y, &values::list(&sources)?])?;
        sum = Some(match sum {
            Some(sum) => sum.add(&own, ctx)?,
            None => own,
        });
    }
    let sizes = [channels, slices, rows, columns].map(|size| size as i64);
    sum.ok_or_else(wrong)?.reshape_to(&values::list(&[&[-1], &sizes[..]].concat())?, ctx)
}
