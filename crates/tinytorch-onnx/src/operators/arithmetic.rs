//! Arithmetic of two values and more.

use super::values;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Op, Var};
use tinytorch_core::ops::{Binary, Extremum, Power, Remainder};

/// An operator of two values.
pub(super) fn two(node: &Node<'_>, op: impl Op + Copy) -> Reading<Operator> {
    let stretched = stretched_if_told(node)?;
    Ok(Operator::one(move |args, ctx| {
        let (a, b) = (args.need(0)?, args.need(1)?);
        match stretched {
            Some(axis) => {
                let b = along(b, axis, a.shape().rank(), ctx)?;
                ctx.apply(op, &[a, &b])
            }
            None => ctx.apply(op, &[a, b]),
        }
    }))
}

/// Before version 7 an attribute had to say that the last value is stretched, which later goes without saying, and
/// another one along which axes of the first its own lie, if not along the last.
pub(super) fn stretched_if_told(node: &Node<'_>) -> Reading<Option<i64>> {
    if node.opset >= 7 {
        return Ok(None);
    }
    let is_stretched = node.flag("broadcast", false)?;
    Ok(node.int("axis")?.filter(|_| is_stretched))
}

/// A value whose axes begin at this one of another's.
fn along(x: &Var, axis: i64, rank: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    let axis = values::axis(axis, rank, "broadcast")?;
    let behind = rank.saturating_sub(axis + x.shape().rank());
    (0..behind).try_fold(x.clone(), |x, _| x.unsqueeze(x.shape().rank(), ctx))
}

/// Values joined by an op of two, from the first on.
fn joined(args: &Args<'_>, op: impl Op + Copy, ctx: &mut Ctx<'_>) -> Result<Var> {
    let mut result = args.need(0)?.clone();
    for i in 1..args.len() {
        result = ctx.apply(op, &[&result, args.need(i)?])?;
    }
    Ok(result)
}

pub(super) fn add(node: &Node<'_>) -> Reading<Operator> {
    two(node, Binary::Add)
}

pub(super) fn sub(node: &Node<'_>) -> Reading<Operator> {
    two(node, Binary::Sub)
}

pub(super) fn mul(node: &Node<'_>) -> Reading<Operator> {
    two(node, Binary::Mul)
}

pub(super) fn div(node: &Node<'_>) -> Reading<Operator> {
    two(node, Binary::Div)
}

pub(super) fn pow(node: &Node<'_>) -> Reading<Operator> {
    // A square is a product, which plans know more of.
    let exponent = node.constant(1).and_then(|value| value.item().ok());
    if exponent == Some(2.0) {
        stretched_if_told(node)?;
        return Ok(Operator::one(|args, ctx| {
            let x = args.need(0)?;
            x.mul(x, ctx)
        }));
    }
    two(node, Power)
}

pub(super) fn modulo(node: &Node<'_>) -> Reading<Operator> {
    two(node, Remainder { like_first: node.flag("fmod", false)? })
}

pub(super) fn sum(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| joined(args, Binary::Add, ctx)))
}

pub(super) fn mean(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let sum = joined(args, Binary::Add, ctx)?;
        sum.mul_scalar(1.0 / args.len() as f32, ctx)
    }))
}

pub(super) fn max(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| joined(args, Extremum::Max, ctx)))
}

pub(super) fn min(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| joined(args, Extremum::Min, ctx)))
}
