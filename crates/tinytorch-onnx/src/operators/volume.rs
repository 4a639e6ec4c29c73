//! Convolutions of volumes, as convolutions of images: the slices that a kernel meets in depth become channels.

use super::values;
use super::windows::Along;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Border, Gather, Pad};
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
pub(super) fn held(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let mut axes = 2..x.shape().rank();
    axes.try_fold(x.clone(), |x, axis| x.unflatten(axis, &[x.shape()[axis]], ctx))
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
