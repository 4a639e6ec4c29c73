//! Comparisons, truth values, and the choice between two values.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Op, Var};
use tinytorch_core::ops::{Compare, IsNot, Logic, Where};
use tinytorch_core::tensor::Dtype;

fn two(op: impl Op + Copy) -> Reading<Operator> {
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?, args.need(1)?])))
}

pub(super) fn equal(_: &Node<'_>) -> Reading<Operator> {
    two(Compare::Equal)
}

pub(super) fn less(_: &Node<'_>) -> Reading<Operator> {
    two(Compare::Less)
}

pub(super) fn less_or_equal(_: &Node<'_>) -> Reading<Operator> {
    two(Compare::LessOrEqual)
}

pub(super) fn greater(_: &Node<'_>) -> Reading<Operator> {
    two(Compare::Greater)
}

pub(super) fn greater_or_equal(_: &Node<'_>) -> Reading<Operator> {
    two(Compare::GreaterOrEqual)
}

pub(super) fn and(_: &Node<'_>) -> Reading<Operator> {
    two(Logic::And)
}

pub(super) fn or(_: &Node<'_>) -> Reading<Operator> {
    two(Logic::Or)
}

pub(super) fn xor(_: &Node<'_>) -> Reading<Operator> {
    two(Logic::Xor)
}

fn negated(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let as_number = x.cast(Dtype::I64, ctx)?;
    ctx.apply(IsNot { value: 1 }, &[&as_number])?.cast(Dtype::Bool, ctx)
}

pub(super) fn not(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| negated(args.need(0)?, ctx)))
}

/// What is not equal to itself is no number.
pub(super) fn is_nan(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let x = args.need(0)?;
        let is_number = ctx.apply(Compare::Equal, &[x, x])?;
        negated(&is_number, ctx)
    }))
}

pub(super) fn choose(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| ctx.apply(Where, &[args.need(0)?, args.need(1)?, args.need(2)?])))
}
