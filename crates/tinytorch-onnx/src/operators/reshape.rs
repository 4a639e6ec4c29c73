//! The same elements in another shape.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Reshape, ReshapeTo};
use tinytorch_core::tensor::{Shape, TensorError};

pub(super) fn reshape(node: &Node<'_>) -> Reading<Operator> {
    if node.flag("allowzero", false)? {
        return Ok(Operator::one(allowing_zero));
    }
    Ok(Operator::one(|args, ctx| ctx.apply(ReshapeTo, &[args.need(0)?, args.need(1)?])))
}

/// A 0 is a size. It stands beside no -1, and so for a value without elements.
fn allowing_zero(args: &crate::apply::Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
    let (x, given) = (args.need(0)?, args.need(1)?);
    let sizes = given.value().to_dtype::<i64>()?.to_vec::<i64>()?;
    if !sizes.contains(&0) {
        return ctx.apply(ReshapeTo, &[x, given]);
    }
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    let expected = "a shape with a 0 that is a size has no open one".to_string();
    let wrong = TensorError::Shape { op: "reshape", shape: *x.shape(), expected };
    ctx.apply(Reshape::Fixed(Shape::new(&sizes.ok_or(wrong)?)?), &[x])
}

pub(super) fn flatten(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(1);
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        // It may stand behind the last.
        let axis = if axis == rank as i64 { rank } else { values::axis(axis, rank, "flatten")? };
        match axis {
            0 => ctx.apply(ReshapeTo, &[x, &values::list(&[1, -1])?]),
            1 if !x.shape().is_empty() => ctx.apply(ReshapeTo, &[x, &values::list(&[0, -1])?]),
            _ if axis == rank => ctx.apply(ReshapeTo, &[x, &values::list(&[-1, 1])?]),
            _ => {
                let y = if axis + 1 < rank { x.flatten(axis, rank - 1, ctx)? } else { x.clone() };
                if axis > 1 { y.flatten(0, axis - 1, ctx) } else { Ok(y) }
            }
        }
    }))
}

/// The axes of a node, which are an input from version 13 on: none if they are left out.
enum Axes {
    Known(Option<Vec<i64>>),
    Computed,
}

impl Axes {
    fn read(node: &Node<'_>) -> Reading<Axes> {
        Ok(match node.opset {
            ..13 => Axes::Known(node.ints("axes")?.map(<[i64]>::to_vec)),
            _ if node.has(1) && node.constant(1).is_none() => Axes::Computed,
            _ => Axes::Known(node.integers(1)?),
        })
    }

    fn get(&self, args: &crate::apply::Args<'_>) -> Result<Option<Vec<i64>>> {
        match self {
            Axes::Known(axes) => Ok(axes.clone()),
            Axes::Computed => values::integers(args.need(1)?, "axes").map(Some),
        }
    }
}

pub(super) fn squeeze(node: &Node<'_>) -> Reading<Operator> {
    let axes = Axes::read(node)?;
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let axes = match axes.get(args)? {
            Some(axes) => values::axes(&axes, x.shape().rank(), "squeeze")?,
            None => (0..x.shape().rank()).filter(|&axis| x.shape()[axis] == 1).collect(),
        };
        axes.iter().rev().try_fold(x.clone(), |x, &axis| x.squeeze(axis, ctx))
    }))
}

pub(super) fn unsqueeze(node: &Node<'_>) -> Reading<Operator> {
    let axes = Axes::read(node)?;
    Ok(Operator::one(move |args, ctx| {
        let missing = tinytorch_core::graph::GraphError::MissingInput { op: "unsqueeze", input: 1 };
        insert(args.need(0)?, &axes.get(args)?.ok_or(missing)?, ctx)
    }))
}

/// Axes of size 1 where the result has them.
fn insert(x: &Var, axes: &[i64], ctx: &mut Ctx<'_>) -> Result<Var> {
    let rank = x.shape().rank() + axes.len();
    let places = values::axes(axes, rank, "unsqueeze")?;
    if places.len() != axes.len() {
        let expected = format!("axes {axes:?} name one twice");
        return Err(TensorError::Shape { op: "unsqueeze", shape: *x.shape(), expected }.into());
    }
    places.iter().try_fold(x.clone(), |x, &axis| x.unsqueeze(axis, ctx))
}
