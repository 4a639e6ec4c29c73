//! Other element types.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use crate::tensor::number;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Binary, Remainder};
use tinytorch_core::tensor::Number;
use tinytorch_core::{Result, Tensor};

pub(super) fn cast(node: &Node<'_>) -> Reading<Operator> {
    let to = node.int("to")?.ok_or("attribute `to` is missing")?;
    // Both say how 8-bit floats round, which are not held.
    let _ = (node.int("saturate")?, node.string("round_mode")?);
    let to = number(i32::try_from(to).unwrap_or(0))?;
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?.cast(to.held(), ctx)?;
        match to {
            Number::U16 => within(&x, 1 << 16, 0, ctx),
            Number::I16 => within(&x, 1 << 16, 1 << 15, ctx),
            Number::U32 => within(&x, 1 << 32, 0, ctx),
            _ => Ok(x),
        }
    }))
}

/// Integers as a type of so many keeps them, of which so many are negative: others wrap around.
fn within(x: &Var, count: i64, negative: i64, ctx: &mut Ctx<'_>) -> Result<Var> {
    let number = |one: i64| Tensor::from_vec(vec![one], []).map(Var::from);
    let (count, negative) = (number(count)?, number(negative)?);
    let moved = ctx.apply(Binary::Add, &[x, &negative])?;
    let kept = ctx.apply(Remainder { like_first: false }, &[&moved, &count])?;
    ctx.apply(Binary::Sub, &[&kept, &negative])
}

/// The type of another value.
pub(super) fn cast_like(node: &Node<'_>) -> Reading<Operator> {
    let _ = (node.int("saturate")?, node.string("round_mode")?);
    Ok(Operator::one(|args, ctx| {
        let to = args.need(1)?.value().dtype();
        args.need(0)?.cast(to, ctx)
    }))
}
