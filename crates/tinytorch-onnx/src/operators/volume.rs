//! Convolutions of volumes, as convolutions of images: the slices that a kernel meets in depth become channels.

use super::values;
use super::windows::Along;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::ConvGeometry;
use tinytorch_core::ops::{Border, Conv2d, Gather, Pad};
use tinytorch_core::tensor::{Tensor, TensorError};

/// `[batch, channels, depth, rows, columns]` by a kernel `[out, channels of a group, depth, rows, columns]`.
pub(super) fn conv(
    [x, weight]: [&Var; 2],
    bias: Option<&Var>,
    depth: &Along,
    geometry: ConvGeometry,
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    // Which slices meet is decided by the volume's size: a plan refuses volumes of other sizes.
    let axes = 2..x.shape().rank();
    let x = axes
        .into_iter()
        .try_fold(x.clone(), |x, axis| x.unflatten(axis, &[x.shape()[axis]], ctx))?;
    let x = x.permute(&[0, 2, 1, 3, 4], ctx)?;
    let (met, slices) = met(&x, depth, ctx)?;
    // Slices stay together with the channel that they are of, so that groups do too.
    let images = met
        .unflatten(1, &[slices, depth.kernel], ctx)?
        .flatten(0, 1, ctx)?
        .permute(&[0, 2, 1, 3, 4], ctx)?
        .flatten(1, 2, ctx)?;
    let weight = weight.flatten(1, 2, ctx)?;
    let inputs: Vec<&Var> = [&images, &weight].into_iter().chain(bias).collect();
    let y = ctx.apply(Conv2d { geometry }, &inputs)?;
    let sizes = [&[-1, slices as i64], &[1, 2, 3].map(|axis| y.shape()[axis] as i64)[..]].concat();
    y.reshape_to(&values::list(&sizes)?, ctx)?.permute(&[0, 2, 1, 3, 4], ctx)
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
    let slices = (len - span) / depth.stride + 1;
    let at = |slice: usize| {
        let places = 0..depth.kernel;
        places.map(move |place| (slice * depth.stride + place * depth.dilation) as i64)
    };
    let at: Vec<i64> = (0..slices).flat_map(at).collect();
    Ok((ctx.apply(Gather { axis: 1 }, &[&x, &values::list(&at)?])?, slices))
}
