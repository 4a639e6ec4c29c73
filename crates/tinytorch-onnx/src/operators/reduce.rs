//! Axes reduced.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{GlobalAvgPool, Reduce, Reduction};
use tinytorch_core::tensor::Dtype;

/// From which version on the axes are an input.
fn read(node: &Node<'_>, reduction: Reduction, axes_since: i64) -> Reading<Operator> {
    let keep = node.flag("keepdims", true)?;
    let none_is_none = node.flag("noop_with_empty_axes", false)?;
    let dynamic = node.opset >= axes_since && node.has(1) && node.constant(1).is_none();
    let axes = match (node.opset >= axes_since, dynamic) {
        (true, false) => node.integers(1)?,
        (false, _) => node.ints("axes")?.map(<[i64]>::to_vec),
        (true, true) => None,
    };
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let axes = match dynamic {
            true => Some(values::integers(args.need(1)?, "reduce")?),
            false => axes.clone(),
        };
        match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => reduced(x, reduction, axes, keep, ctx),
            // Nothing is joined, but for the function of each element alone.
            None if none_is_none => match reduction {
                Reduction::Sum
                | Reduction::Mean
                | Reduction::Max
                | Reduction::Min
                | Reduction::Prod => Ok(x.clone()),
                _ => reduced(x, reduction, Vec::new(), true, ctx),
            },
            None => reduced(x, reduction, (0..x.shape().rank() as i64).collect(), keep, ctx),
        }
    }))
}

fn reduced(
    x: &Var,
    reduction: Reduction,
    axes: Vec<i64>,
    keep: bool,
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let is_pixels =
        x.shape().rank() == 4 && matches!(axes[..], [2, 3] | [-2, -1] | [3, 2] | [-1, -2]);
    if reduction == Reduction::Mean && is_pixels && x.value().dtype() == Dtype::F32 {
        let pooled = ctx.apply(GlobalAvgPool, &[x])?;
        return if keep { Ok(pooled) } else { pooled.squeeze(3, ctx)?.squeeze(2, ctx) };
    }
    ctx.apply(Reduce { reduction, axes, keep }, &[x])
}

pub(super) fn sum(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::Sum, 13)
}

pub(super) fn mean(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::Mean, 18)
}

pub(super) fn max(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::Max, 18)
}

pub(super) fn min(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::Min, 18)
}

pub(super) fn prod(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::Prod, 18)
}

pub(super) fn l1(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::L1, 18)
}

pub(super) fn l2(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::L2, 18)
}

pub(super) fn log_sum(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::LogSum, 18)
}

pub(super) fn log_sum_exp(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::LogSumExp, 18)
}

pub(super) fn sum_square(node: &Node<'_>) -> Reading<Operator> {
    read(node, Reduction::SumSquare, 18)
}
