//! Products of bytes, exact in 32 bits.

use super::convolution::{geometry, groups};
use super::values;
use super::windows::Windows;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use std::ops::Range;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Conv2d, MatMul};
use tinytorch_core::tensor::{Dtype, TensorError};

/// Products of bytes that floats of 24 bits add exactly: 255 x 255 each.
const EXACT: usize = (1 << 24) / (255 * 255);

/// Bytes without their zero point, or a zero point for each entry along an axis, as floats.
fn centered(
    args: &Args<'_>,
    input: usize,
    zero: usize,
    axis: usize,
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let x = args.need(input)?.cast(Dtype::F32, ctx)?;
    let Some(point) = args.get(zero) else { return Ok(x) };
    let mut point = point.cast(Dtype::F32, ctx)?;
    if point.shape().rank() == 1 && point.shape().len() > 1 {
        for behind in 1..x.shape().rank().saturating_sub(axis) {
            point = point.unsqueeze(behind, ctx)?;
        }
    }
    x.sub(&point, ctx)
}

/// Parts of so many entries that each part's products are added exactly.
fn parts(
    entries: usize,
    products_of_one: usize,
    x: &Var,
    op: &'static str,
) -> Result<Vec<Range<usize>>> {
    let step = EXACT / products_of_one.max(1);
    if step == 0 {
        let expected = format!("kernels of up to {EXACT} places are supported");
        return Err(TensorError::Shape { op, shape: *x.shape(), expected }.into());
    }
    Ok((0..entries).step_by(step).map(|start| start..entries.min(start + step)).collect())
}

/// The sum of what each part gives, in 32-bit integers.
fn summed(
    parts: Vec<Range<usize>>,
    ctx: &mut Ctx<'_>,
    mut of: impl FnMut(Range<usize>, &mut Ctx<'_>) -> Result<Var>,
) -> Result<Var> {
    let mut sum: Option<Var> = None;
    for part in parts {
        let part = of(part, ctx)?.cast(Dtype::I32, ctx)?;
        sum = Some(match sum {
            Some(sum) => sum.add(&part, ctx)?,
            None => part,
        });
    }
    let missing = tinytorch_core::graph::GraphError::MissingInput { op: "integers", input: 0 };
    Ok(sum.ok_or(missing)?)
}

pub(super) fn conv(node: &Node<'_>) -> Reading<Operator> {
    let (windows, groups) = (Windows::read(node)?, groups(node)?);
    node.ints("kernel_shape")?;
    Ok(Operator::one(move |args, ctx| {
        let op = "conv_integer";
        let (x, weight) = (centered(args, 0, 2, 1, ctx)?, centered(args, 1, 3, 0, ctx)?);
        values::check_rank(x.shape(), 4..=4, op)?;
        values::check_rank(weight.shape(), 4..=4, op)?;
        let along = windows.along(x.shape(), &weight.shape()[2..], op)?;
        let geometry = geometry(&along, groups);
        let [within, places] = [weight.shape()[1], weight.shape()[2..].iter().product()];
        let parts = parts(within, places, &weight, op)?;
        if let [_] = parts[..] {
            return ctx.apply(Conv2d { geometry }, &[&x, &weight])?.cast(Dtype::I32, ctx);
        }
        // A part of every group's channels.
        let x = x.unflatten(1, &[groups, x.shape()[1] / groups], ctx)?;
        summed(parts, ctx, |part, ctx| {
            let weight = weight.slice(1, part.clone(), ctx)?;
            let x = x.slice(2, part, ctx)?.flatten(1, 2, ctx)?;
            ctx.apply(Conv2d { geometry }, &[&x, &weight])
        })
    }))
}

pub(super) fn matmul(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let op = "matmul_integer";
        let rank = args.need(0)?.shape().rank();
        let rows = rank.saturating_sub(2);
        let b_rank = args.need(1)?.shape().rank();
        let (a, b) = (
            centered(args, 0, 2, rows, ctx)?,
            centered(args, 1, 3, b_rank.saturating_sub(1), ctx)?,
        );
        values::check_rank(a.shape(), 2..=6, op)?;
        values::check_rank(b.shape(), 2..=6, op)?;
        summed(parts(a.shape().last_dim(), 1, &a, op)?, ctx, |part, ctx| {
            let a = a.slice(rank - 1, part.clone(), ctx)?;
            let b = b.slice(b_rank - 2, part, ctx)?;
            ctx.apply(MatMul, &[&a, &b])
        })
    }))
}
