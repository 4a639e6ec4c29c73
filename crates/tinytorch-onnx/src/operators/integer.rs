//! Products of bytes, exact in 32 bits.

use super::convolution::{geometry, groups};
use super::values;
use super::windows::Windows;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Conv2d, MatMul};
use tinytorch_core::tensor::{Dtype, TensorError};

/// Products of bytes that floats of 24 bits add exactly: 255 x 255 each.
const EXACT: usize = (1 << 24) / (255 * 255);

/// Bytes without their zero point, as floats.
fn centered(args: &Args<'_>, input: usize, zero: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    let x = args.need(input)?.cast(Dtype::F32, ctx)?;
    match args.get(zero) {
        Some(point) if point.shape().len() == 1 => {
            let point = point.cast(Dtype::F32, ctx)?;
            x.sub(&point, ctx)
        }
        Some(point) => {
            let expected = "one zero point for all is supported".into();
            Err(TensorError::Shape { op: args.operator, shape: *point.shape(), expected }.into())
        }
        None => Ok(x),
    }
}

fn check(terms: usize, x: &Var, op: &'static str) -> Result<()> {
    if terms <= EXACT {
        return Ok(());
    }
    let expected = format!("sums of up to {EXACT} products are supported, this has {terms}");
    Err(TensorError::Shape { op, shape: *x.shape(), expected }.into())
}

pub(super) fn conv(node: &Node<'_>) -> Reading<Operator> {
    let (windows, groups) = (Windows::read(node)?, groups(node)?);
    node.ints("kernel_shape")?;
    Ok(Operator::one(move |args, ctx| {
        let (x, weight) = (centered(args, 0, 2, ctx)?, centered(args, 1, 3, ctx)?);
        values::check_rank(x.shape(), 4..=4, "conv_integer")?;
        values::check_rank(weight.shape(), 4..=4, "conv_integer")?;
        check(weight.shape()[1..].iter().product(), &weight, "conv_integer")?;
        let along = windows.along(x.shape(), &weight.shape()[2..], "conv_integer")?;
        let geometry = geometry(&along, groups);
        ctx.apply(Conv2d { geometry }, &[&x, &weight])?.cast(Dtype::I32, ctx)
    }))
}

pub(super) fn matmul(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let (a, b) = (centered(args, 0, 2, ctx)?, centered(args, 1, 3, ctx)?);
        values::check_rank(a.shape(), 2..=6, "matmul_integer")?;
        check(a.shape().last_dim(), &a, "matmul_integer")?;
        ctx.apply(MatMul, &[&a, &b])?.cast(Dtype::I32, ctx)
    }))
}
