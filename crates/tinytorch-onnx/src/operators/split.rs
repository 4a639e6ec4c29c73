//! Values in parts.

use super::{Operator, values};
use crate::node::{Node, Reading};
use tinytorch_core::ops::{Parts, Split};

pub(super) fn split(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(0);
    let count = node.int("num_outputs")?;
    let sizes =
        if node.opset < 13 { node.ints("split")?.map(<[i64]>::to_vec) } else { node.integers(1)? };
    let outputs = node.outputs();
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
