//! Values in parts.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{Parts, Split};

pub(super) fn split(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(0);
    let count = node.int("num_outputs")?;
    let outputs = node.outputs();
    if node.opset >= 13 && node.has(1) && node.constant(1).is_none() {
        return Ok(by_computed_sizes(axis, outputs));
    }
    let sizes =
        if node.opset < 13 { node.ints("split")?.map(<[i64]>::to_vec) } else { node.integers(1)? };
    if count.is_some_and(|count| usize::try_from(count).ok() != Some(outputs)) {
        return Err(format!("attribute `num_outputs` does not say {outputs}"));
    }
    let parts = match sizes {
        Some(sizes) => {
            let sizes: Option<Vec<usize>> =
                sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
            let sizes = sizes.ok_or("a part has a negative size")?;
            if sizes.len() != outputs {
                return Err(format!("it names {} parts for {outputs} outputs", sizes.len()));
            }
            Parts::Sizes(sizes)
        }
        None => Parts::Equal(outputs),
    };
    Ok(Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let axis = values::axis(axis, x.shape().rank(), "split")?;
        ctx.apply_many(Split { axis, parts: parts.clone() }, &[Some(x)])
    }))
}

/// In parts whose sizes an earlier node gives.
fn by_computed_sizes(axis: i64, outputs: usize) -> Operator {
    Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let axis = values::axis(axis, x.shape().rank(), "split")?;
        let sizes = values::integers(args.need(1)?, "split")?;
        // A negative size is none that adds up.
        let sizes = sizes.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX));
        let sizes: Vec<usize> = sizes.collect();
        if sizes.len() != outputs {
            return Err(GraphError::OutputCount { op: "split", outputs: sizes.len() }.into());
        }
        ctx.apply_many(Split { axis, parts: Parts::Sizes(sizes) }, &[Some(x)])
    })
}
