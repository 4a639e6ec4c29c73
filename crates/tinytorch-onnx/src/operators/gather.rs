//! Entries that indices name, and the largest.

use super::values;
use crate::apply::{Operator, Use};
use crate::node::{Node, Reading};
use tinytorch_core::autograd::Role;
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{Gather, GatherElements, TopK};
use tinytorch_core::tensor::{Dtype, Tensor};

/// Rows of a table of floats are looked up as an embedding's.
pub(super) fn gather(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(0);
    let is_table =
        node.constant(0).is_some_and(|table| table.rank() == 2 && table.dtype() == Dtype::F32);
    let operator = Operator::one(move |args, ctx| {
        let ids = args.need(1)?;
        if let Some(table) = args.weight(0) {
            let ids = values::as_type(ids, Dtype::I64, ctx)?;
            // What counts from the end is no row of a table.
            if is_never_negative(ids.value())? {
                return ids.embedding(table, ctx);
            }
        }
        let x = args.value(0, ctx)?;
        let x = x.as_ref().map_or_else(|| args.need(0), Ok)?;
        let axis = values::axis(axis, x.shape().rank(), "gather")?;
        ctx.apply(Gather { axis }, &[x, ids])
    });
    Ok(if is_table && axis == 0 {
        operator.using(0, Use::Weight(Role::Embedding))
    } else {
        operator
    })
}

pub(super) fn gather_elements(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(0);
    Ok(Operator::one(move |args, ctx| {
        let (x, indices) = (args.need(0)?, args.need(1)?);
        let axis = values::axis(axis, x.shape().rank(), "gather_elements")?;
        ctx.apply(GatherElements { axis }, &[x, indices])
    }))
}

fn is_never_negative(ids: &Tensor) -> tinytorch_core::Result<bool> {
    Ok(ids.to_vec::<i64>()?.iter().all(|id| *id >= 0))
}

pub(super) fn top_k(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(-1);
    let largest = node.flag("largest", true)?;
    // What is asked for in any order may come in order.
    node.flag("sorted", true)?;
    let count = if node.opset < 10 { node.int("k")? } else { None };
    Ok(Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let axis = values::axis(axis, x.shape().rank(), "top_k")?;
        let given = count.map(|count| values::list(&[count])).transpose()?;
        let count = given.as_ref().map_or_else(|| args.need(1), Ok)?;
        ctx.apply_many(TopK { axis, largest }, &[Some(x), Some(count)])
    }))
}

pub(super) fn arg_max(node: &Node<'_>) -> Reading<Operator> {
    place(node, true)
}

pub(super) fn arg_min(node: &Node<'_>) -> Reading<Operator> {
    place(node, false)
}

/// Where the largest or smallest entry along an axis is, the first of equal ones.
fn place(node: &Node<'_>, largest: bool) -> Reading<Operator> {
    let op = if largest { "arg_max" } else { "arg_min" };
    let axis = node.int("axis")?.unwrap_or(0);
    let keep = node.flag("keepdims", true)?;
    if node.flag("select_last_index", false)? {
        return Err("attribute `select_last_index` is 1, which is not supported".into());
    }
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let axis = values::axis(axis, x.shape().rank(), op)?;
        let one = values::list(&[1])?;
        let mut both = ctx.apply_many(TopK { axis, largest }, &[Some(x), Some(&one)])?;
        let places = both.pop().ok_or(GraphError::OutputCount { op, outputs: 0 })?;
        if keep { Ok(places) } else { places.squeeze(axis, ctx) }
    }))
}
