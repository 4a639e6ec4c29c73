//! Values joined.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::ops::Cat;

pub(super) fn concat(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.ok_or("attribute `axis` is missing")?;
    Ok(Operator::one(move |args, ctx| {
        let axis = values::axis(axis, args.need(0)?.shape().rank(), "concat")?;
        ctx.apply(Cat { axis }, &args.all())
    }))
}
