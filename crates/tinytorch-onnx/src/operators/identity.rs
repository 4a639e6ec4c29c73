//! Operators that give what they are given.

use super::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::ops::ConstantOfShape;
use tinytorch_core::ops::ShapeOf;
use tinytorch_core::tensor::Tensor;

pub(super) fn identity(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::passing())
}

/// Nothing is dropped in inference: all stays, and so says the mask.
pub(super) fn dropout(node: &Node<'_>) -> Reading<Operator> {
    let _ = (node.optional_float("ratio")?, node.int("seed")?);
    let training = match (node.has(2), node.constant(2)) {
        (false, _) => false,
        (true, Some(value)) => {
            value.to_dtype::<i64>().and_then(|v| v.to_vec::<i64>()).is_ok_and(|v| v != [0])
        }
        (true, None) => true,
    };
    let drops = match (node.has(1), node.constant(1)) {
        (true, Some(value)) => value.item().ok() != Some(0.0),
        _ => true,
    };
    if training && drops {
        return Err("it drops values as in training; export the model for inference".into());
    }
    if !node.gives(1) {
        return Ok(Operator::passing());
    }
    let all = Tensor::from_vec(vec![true], []).map_err(|error| error.to_string())?;
    let mask = ConstantOfShape::new(&all).map_err(|error| error.to_string())?;
    Ok(Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let shape = ctx.apply(ShapeOf, &[x])?;
        Ok(vec![x.clone(), ctx.apply(mask.clone(), &[&shape])?])
    }))
}
