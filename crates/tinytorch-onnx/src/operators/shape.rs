//! Sizes as values, and values stretched to sizes.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::ops::{Expand, Reduce, Reduction, ShapeOf};

pub(super) fn shape(node: &Node<'_>) -> Reading<Operator> {
    let (start, end) = (node.int("start")?.unwrap_or(0), node.int("end")?);
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let sizes = ctx.apply(ShapeOf, &[x])?;
        let rank = x.shape().rank() as i64;
        let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank);
        let (start, end) = (place(start), place(end.unwrap_or(rank)));
        if (start, end) == (0, rank) {
            return Ok(sizes);
        }
        let (start, end) =
            (super::values::list(&[start])?, super::values::list(&[end.max(start)])?);
        sizes.slice_between(0, &start, &end, ctx)
    }))
}

pub(super) fn size(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let sizes = ctx.apply(ShapeOf, &[args.need(0)?])?;
        ctx.apply(Reduce { reduction: Reduction::Prod, axes: vec![0], keep: false }, &[&sizes])
    }))
}

pub(super) fn expand(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| ctx.apply(Expand, &[args.need(0)?, args.need(1)?])))
}
