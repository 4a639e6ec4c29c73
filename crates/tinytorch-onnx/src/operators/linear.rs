//! Products of matrices; with a constant they are linear layers.

use crate::apply::{Args, Operator, Use};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Role, Var};
use tinytorch_core::ops::{Binary, Linear, MatMul};
use tinytorch_core::tensor::Dtype;

/// Whether input `i` is a matrix of floats that does not change.
fn is_weight(node: &Node<'_>, i: usize) -> bool {
    node.constant(i).is_some_and(|value| value.rank() == 2 && value.dtype() == Dtype::F32)
}

pub(super) fn matmul(node: &Node<'_>) -> Reading<Operator> {
    let is_weight = is_weight(node, 1);
    let operator = Operator::one(|args, ctx| match args.weight(1) {
        Some(weight) => args.need(0)?.linear(weight, None, ctx),
        None => product(args.need(0)?, args.need(1)?, ctx),
    });
    Ok(if is_weight { operator.using(1, Use::Transposed) } else { operator })
}

/// The product as NumPy has it: a vector is a row on the left and a column on the right.
fn product(a: &Var, b: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    let (is_row, is_column) = (a.shape().rank() == 1, b.shape().rank() == 1);
    let a = if is_row { a.unsqueeze(0, ctx)? } else { a.clone() };
    let b = if is_column { b.unsqueeze(1, ctx)? } else { b.clone() };
    let mut y = ctx.apply(MatMul, &[&a, &b])?;
    if is_column {
        y = y.squeeze(y.shape().rank() - 1, ctx)?;
    }
    if is_row {
        y = y.squeeze(y.shape().rank() - usize::from(!is_column) - 1, ctx)?;
    }
    Ok(y)
}

/// How a product is scaled, and which of its factors are transposed.
#[derive(Clone, Copy)]
struct Gemm {
    transposed: [bool; 2],
    alpha: f32,
    beta: f32,
}

pub(super) fn gemm(node: &Node<'_>) -> Reading<Operator> {
    super::arithmetic::stretched_if_told(node)?;
    let (a, b) = (node.flag("transA", false)?, node.flag("transB", false)?);
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let gemm = Gemm { transposed: [a, b], alpha, beta };
    let operator = Operator::one(move |args, ctx| gemm.run(args, ctx));
    if !is_weight(node, 1) || a || alpha != 1.0 {
        return Ok(operator);
    }
    let how = if b { Use::Weight(Role::LinearWeight) } else { Use::Transposed };
    // A bias for each output; what is stretched in another way is added.
    let outputs = node.constant(1).map(|weight| weight.shape()[usize::from(!b)]);
    let is_bias = beta == 1.0
        && node.constant(2).is_some_and(|bias| bias.rank() == 1 && Some(bias.len()) == outputs);
    let operator = operator.using(1, how);
    Ok(if is_bias { operator.using(2, Use::Vector) } else { operator })
}

impl Gemm {
    fn run(self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = args.need(0)?;
        let turned = |x: &Var, turn: bool, ctx: &mut Ctx<'_>| {
            if turn { x.transpose(0, 1, ctx) } else { Ok(x.clone()) }
        };
        let mut y = if let Some(weight) = args.weight(1) {
            if let Some(bias) = args.param(2) {
                return x.linear(weight, Some(bias), ctx);
            }
            x.linear(weight, None, ctx)?
        } else {
            let a = turned(x, self.transposed[0], ctx)?;
            let b = args.need(1)?;
            if self.transposed[1] && !b.is_tracked() {
                ctx.apply(Linear, &[&a, b])?
            } else {
                let b = turned(b, self.transposed[1], ctx)?;
                ctx.apply(MatMul, &[&a, &b])?
            }
        };
        if self.alpha != 1.0 {
            y = y.mul_scalar(self.alpha, ctx)?;
        }
        let Some(mut addend) = args.value(2, ctx)? else { return Ok(y) };
        if self.beta != 1.0 {
            addend = addend.mul_scalar(self.beta, ctx)?;
        }
        ctx.apply(Binary::Add, &[&y, &addend])
    }
}
