//! Softmax and its logarithm.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{ReshapeTo, ShapeOf, Softmax};

fn read(node: &Node<'_>, log: bool) -> Reading<Operator> {
    let since_13 = node.opset >= 13;
    let axis = node.int("axis")?.unwrap_or(if since_13 { -1 } else { 1 });
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        let axis = values::axis(axis, rank, "softmax")?;
        match since_13 || axis + 1 == rank {
            true => ctx.apply(Softmax { axis, log }, &[x]),
            false => over_the_rest(x, axis, log, ctx),
        }
    }))
}

/// Before version 13 all axes from the named one on were taken as one.
fn over_the_rest(x: &Var, axis: usize, log: bool, ctx: &mut Ctx<'_>) -> Result<Var> {
    let sizes = ctx.apply(ShapeOf, &[x])?;
    let flat = x.flatten(axis, x.shape().rank() - 1, ctx)?;
    let y = ctx.apply(Softmax { axis, log }, &[&flat])?;
    ctx.apply(ReshapeTo, &[&y, &sizes])
}

pub(super) fn softmax(node: &Node<'_>) -> Reading<Operator> {
    read(node, false)
}

pub(super) fn log_softmax(node: &Node<'_>) -> Reading<Operator> {
    read(node, true)
}
