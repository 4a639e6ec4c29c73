//! Convolutions of signals and images.

use super::windows::{Along, Windows};
use super::{values, volume};
use crate::apply::{Args, Operator, Use};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Role, Var};
use tinytorch_core::graph::{ConvGeometry, GraphError};
use tinytorch_core::ops::Conv2d;
use tinytorch_core::tensor::{Dtype, Shape, TensorError};

/// The geometry of windows along one axis or two, the last ones of more.
pub(super) fn geometry(along: &[Along], groups: usize) -> ConvGeometry {
    let geometry = ConvGeometry { groups, ..ConvGeometry::default() };
    match along {
        [.., rows, columns] => ConvGeometry {
            stride: [rows.stride, columns.stride],
            padding: [rows.pads, columns.pads],
            dilation: [rows.dilation, columns.dilation],
            ..geometry
        },
        [columns] => ConvGeometry {
            stride: [1, columns.stride],
            padding: [[0; 2], columns.pads],
            dilation: [1, columns.dilation],
            ..geometry
        },
        _ => geometry,
    }
}

pub(super) fn groups(node: &Node<'_>) -> Reading<usize> {
    let groups = node.int("group")?.unwrap_or(1);
    usize::try_from(groups)
        .ok()
        .filter(|groups| *groups > 0)
        .ok_or("attribute `group` must be positive".into())
}

pub(super) fn conv(node: &Node<'_>) -> Reading<Operator> {
    let (windows, groups) = (Windows::read(node)?, groups(node)?);
    let kernel = node.ints("kernel_shape")?.map(<[i64]>::to_vec);
    let weight = node.constant(1);
    if weight.is_some_and(|weight| !(3..=5).contains(&weight.rank())) {
        return Err(
            "convolutions of signals, images and volumes are supported, of no more axes".into()
        );
    }
    let weight = weight.filter(|weight| weight.dtype() == Dtype::F32);
    let own = weight.map(|weight| *weight.shape());
    let operator =
        Operator::one(move |args, ctx| run(args, &windows, groups, (kernel.as_deref(), own), ctx));
    let Some(weight) = weight else { return Ok(operator) };
    let how = match weight.rank() {
        3 => Use::Signal { groups },
        5 => Use::Volume { groups },
        _ => Use::Weight(Role::ConvWeight { groups }),
    };
    let operator = operator.using(1, how);
    let is_bias = node.constant(2).is_some_and(|bias| bias.rank() == 1);
    Ok(if is_bias { operator.using(2, Use::Vector) } else { operator })
}

fn run(
    args: &Args<'_>,
    windows: &Windows,
    groups: usize,
    (kernel, own): (Option<&[i64]>, Option<Shape>),
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let op = "conv";
    let x = &windows.held(args.need(0)?, ctx)?;
    let weight = args.weight(1);
    let shape = match own {
        Some(own) => own,
        None => *args.need(1)?.shape(),
    };
    values::check_rank(&shape, 3..=5, op)?;
    if kernel.is_some_and(|kernel| {
        kernel.iter().map(|&size| size as usize).ne(shape[2..].iter().copied())
    }) {
        let expected = "the attribute `kernel_shape` must be the weight's".into();
        return Err(TensorError::Shape { op, shape, expected }.into());
    }
    let along = windows.along(x.shape(), &shape[2..], op)?;
    let geometry = geometry(&along, groups);
    let (is_signal, is_volume) = (along.len() == 1, along.len() == 3);
    if let (true, Some(weight)) = (is_volume, weight) {
        let (images, slices) = volume::images(x, &along[0], ctx)?;
        let y = images.conv2d(weight, args.param(2), geometry, ctx)?;
        let y = args.get(2).map_or(Ok(y.clone()), |bias| add_bias(&y, bias, ctx))?;
        return volume::of_images(&y, slices, ctx);
    }
    if let Some(weight) = weight {
        let bias = args.param(2);
        let y = match is_signal {
            true => x.conv1d(weight, bias, geometry, ctx)?,
            false => x.conv2d(weight, bias, geometry, ctx)?,
        };
        return match args.get(2) {
            Some(bias) => add_bias(&y, bias, ctx),
            None => Ok(y),
        };
    }
    let weight = args.need(1)?;
    if is_volume {
        return Err(GraphError::NotConstant { op }.into());
    }
    let (x, weight) = match is_signal {
        true => (x.unsqueeze(2, ctx)?, weight.unsqueeze(2, ctx)?),
        false => (x.clone(), weight.clone()),
    };
    let bias = args.value(2, ctx)?;
    let inputs: Vec<&Var> = [&x, &weight].into_iter().chain(&bias).collect();
    let y = ctx.apply(Conv2d { geometry }, &inputs)?;
    if is_signal { y.squeeze(2, ctx) } else { Ok(y) }
}

/// A value for each channel added.
pub(super) fn add_bias(y: &Var, bias: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let mut bias = bias.clone();
    for axis in 1..y.shape().rank() - 1 {
        bias = bias.unsqueeze(axis, ctx)?;
    }
    y.add(&bias, ctx)
}
