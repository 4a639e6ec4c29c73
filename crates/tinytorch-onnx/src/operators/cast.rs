//! Other element types.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use crate::tensor::computed;

pub(super) fn cast(node: &Node<'_>) -> Reading<Operator> {
    let to = node.int("to")?.ok_or("attribute `to` is missing")?;
    // Both say how 8-bit floats round, which are not held.
    let _ = (node.int("saturate")?, node.string("round_mode")?);
    let to = computed(i32::try_from(to).unwrap_or(0))?;
    Ok(Operator::one(move |args, ctx| args.need(0)?.cast(to, ctx)))
}

/// The type of another value.
pub(super) fn cast_like(node: &Node<'_>) -> Reading<Operator> {
    let _ = (node.int("saturate")?, node.string("round_mode")?);
    Ok(Operator::one(|args, ctx| {
        let to = args.need(1)?.value().dtype();
        args.need(0)?.cast(to, ctx)
    }))
}
