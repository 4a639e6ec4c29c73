//! Arithmetic of two values and more.

use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Op, Var};
use tinytorch_core::ops::{Binary, Extremum, Power, Remainder};

fn two(node: &Node<'_>, op: impl Op + Copy) -> Reading<Operator> {
    stretched_if_told(node)?;
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?, args.need(1)?])))
}

/// Before version 7 an attribute had to say that the last value is stretched, which later goes without saying.
pub(super) fn stretched_if_told(node: &Node<'_>) -> Reading<()> {
    if node.opset < 7 {
        node.flag("broadcast", false)?;
    }
    Ok(())
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
