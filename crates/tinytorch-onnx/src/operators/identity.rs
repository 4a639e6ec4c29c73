//! Operators that give what they are given.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::Var;
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{ConstantOfShape, ShapeOf};
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
        (true, None) => return Ok(dropout_unless_told(node.gives(1))),
    };
    let drops = match (node.has(1), node.constant(1)) {
        (true, Some(value)) => value.item().ok() != Some(0.0),
        _ => true,
    };
    if training && drops {
        return Err("it drops values as in training; export the model for inference".into());
    }
    Ok(if node.gives(1) { dropout_unless_told(true) } else { Operator::passing() })
}

/// Gives what it is given, with a mask that says so, unless an input says that values are to be dropped.
fn dropout_unless_told(gives_mask: bool) -> Operator {
    Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let drops = match args.get(1) {
            Some(ratio) => ratio.value().item()? != 0.0,
            None => true,
        };
        let in_training = |told: &Var| -> Result<bool> {
            Ok(told.is_tracked() || told.value().to_vec::<bool>()? != [false])
        };
        if drops && args.get(2).map(in_training).transpose()?.unwrap_or(false) {
            return Err(GraphError::TrainingOnly { op: "dropout" }.into());
        }
        if !gives_mask {
            return Ok(vec![x.clone()]);
        }
        let shape = ctx.apply(ShapeOf, &[x])?;
        let mask = ConstantOfShape::new(&Tensor::from_vec(vec![true], [])?)?;
        Ok(vec![x.clone(), ctx.apply(mask, &[&shape])?])
    })
}
