//! Parts of values.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::ops::Slice;

pub(super) fn slice(node: &Node<'_>) -> Reading<Operator> {
    if node.opset >= 10 {
        return Ok(Operator::many(|args, ctx| ctx.apply_many(Slice, &args.optional())));
    }
    let list = |name| Ok::<_, String>(node.ints(name)?.map(<[i64]>::to_vec));
    let starts = list("starts")?.ok_or("attribute `starts` is missing")?;
    let ends = list("ends")?.ok_or("attribute `ends` is missing")?;
    let axes = list("axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    Ok(Operator::one(move |args, ctx| {
        let lists = [values::list(&starts)?, values::list(&ends)?, values::list(&axes)?];
        ctx.apply(Slice, &[args.need(0)?, &lists[0], &lists[1], &lists[2]])
    }))
}
