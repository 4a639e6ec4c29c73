//! Comparisons, truth values, and the choice between two values.

use super::arithmetic::two;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Compare, IsNot, Logic, Where};
use tinytorch_core::tensor::Dtype;

pub(super) fn equal(node: &Node<'_>) -> Reading<Operator> {
    two(node, Compare::Equal)
}

pub(super) fn less(node: &Node<'_>) -> Reading<Operator> {
    two(node, Compare::Less)
}

pub(super) fn less_or_equal(node: &Node<'_>) -> Reading<Operator> {
    two(node, Compare::LessOrEqual)
}

pub(super) fn greater(node: &Node<'_>) -> Reading<Operator> {
    two(node, Compare::Greater)
}

pub(super) fn greater_or_equal(node: &Node<'_>) -> Reading<Operator> {
    two(node, Compare::GreaterOrEqual)
}

pub(super) fn and(node: &Node<'_>) -> Reading<Operator> {
    two(node, Logic::And)
}

pub(super) fn or(node: &Node<'_>) -> Reading<Operator> {
    two(node, Logic::Or)
}

pub(super) fn xor(node: &Node<'_>) -> Reading<Operator> {
    two(node, Logic::Xor)
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
