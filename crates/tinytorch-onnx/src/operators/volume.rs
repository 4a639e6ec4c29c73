//! Convolutions of volumes, as convolutions of images: the slices that a kernel meets in depth become channels, and those
//! that a transposed one gives are added where they meet.

use super::windows::Along;
use super::{transposed, values};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Border, ConvTranspose2d, Gather, Pad};
use tinytorch_core::tensor::{Tensor, TensorError};

/// Of `[batch, channels, depth, rows, columns]` an image for each place of the kernel in depth, `[batch * places,
/// channels * kernel, rows, columns]`, and the number of places.
pub(super) fn images(x: &Var, depth: &Along, ctx: &mut Ctx<'_>) -> Result<(Var, usize)> {
    let x = held(x, ctx)?.permute(&[0, 2, 1, 3, 4], ctx)?;
    let (met, places) = met(&x, depth, ctx)?;
    // Slices stay together with the channel that they are of, so that groups do too.
    let images = met
        .unflatten(1, &[places, depth.kernel], ctx)?
        .flatten(0, 1, ctx)?
        .permute(&[0, 2, 1, 3, 4], ctx)?
        .flatten(1, 2, ctx)?;
    Ok((images, places))
}

/// Volumes `[batch, channels, places, rows, columns]` of their images `[batch * places, channels, rows, columns]`.
pub(super) fn of_images(y: &Var, places: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    let of_image = [1, 2, 3].map(|axis| y.shape()[axis] as i64);
    let sizes = [&[-1, places as i64], &of_image[..]].concat();
    y.reshape_to(&values::list(&sizes)?, ctx)?.permute(&[0, 2, 1, 3, 4], ctx)
}

/// A volume whose size decides which slices meet: a plan refuses volumes of other sizes.
fn held(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let mut axes = 2..x.shape().rank();
    axes.try_fold(x.clone(), |x, axis| x.unflatten(axis, &[x.shape()[axis]], ctx))
}

/// The transposed convolution of a volume with a weight `[in, out / groups, depth, rows, columns]`; `of_images` is the
/// same for one slice.
pub(super) fn transposed(
    x: &Var,
    weight: &Var,
    depth: &transposed::Along,
    of_images: ConvTranspose2d,
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let (shape, len) = (*x.shape(), x.shape()[2]);
    let wrong = || {
        let expected = "borders in depth that leave a slice".to_string();
        TensorError::Shape { op: "conv_transpose", shape, expected }
    };
    let slices = depth.reached(len).filter(|slices| *slices > 0).ok_or_else(wrong)?;
    let images = held(x, ctx)?.permute(&[0, 2, 1, 3, 4], ctx)?.flatten(0, 1, ctx)?;
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

/// Of `[batch, depth, ..]` the slices that each place of the kernel meets, one after the other, and the number of places.
fn met(x: &Var, depth: &Along, ctx: &mut Ctx<'_>) -> Result<(Var, usize)> {
    let [before, behind] = depth.pads;
    let x = match depth.pads {
        [0, 0] => x.clone(),
        _ => {
            let mut pads = [0i64; 10];
            (pads[1], pads[6]) = (before as i64, behind as i64);
            let zero = Var::from(Tensor::scalar(0.0));
            ctx.apply(Pad(Border::Constant), &[x, &values::list(&pads)?, &zero])?
        }
    };
    let len = x.shape()[1];
    let span = depth.kernel.saturating_sub(1).saturating_mul(depth.dilation).saturating_add(1);
    if span > len || depth.kernel == 0 {
        let expected = format!("a depth of {span} or more, as the kernel spans");
        return Err(TensorError::Shape { op: "conv", shape: *x.shape(), expected }.into());
    }
    let places = (len - span) / depth.stride + 1;
    let at = |place: usize| {
        let slices = 0..depth.kernel;
        slices.map(move |slice| (place * depth.stride + slice * depth.dilation) as i64)
    };
    let at: Vec<i64> = (0..places).flat_map(at).collect();
    Ok((ctx.apply(Gather { axis: 1 }, &[&x, &values::list(&at)?])?, places))
}
