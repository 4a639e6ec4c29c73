//! Values that are the same in every run.

use crate::apply::Operator;
use crate::file::Files;
use crate::node::{Node, Reading};
use crate::tensor::{number, tensor};
use tinytorch_core::ops::ConstantOfShape;
use tinytorch_core::tensor::Tensor;

pub(super) fn constant(node: &Node<'_>) -> Reading<Operator> {
    // One whose type is supported was read before, with the files that it may lie in.
    let made = if let Some(value) = node.tensor("value")? {
        return Err(number(value.data_type)
            .err()
            .unwrap_or("it has inputs or attributes that are not known".into()));
    } else if let Some(value) = node.optional_float("value_float")? {
        Ok(Tensor::scalar(value))
    } else if let Some(value) = node.int("value_int")? {
        Tensor::from_vec(vec![value], [])
    } else if let Some(values) = node.floats("value_floats")? {
        Tensor::from_vec(values.to_vec(), [values.len()])
    } else if let Some(values) = node.ints("value_ints")? {
        Tensor::from_vec(values.to_vec(), [values.len()])
    } else {
        return Err("it has no value of a type that is supported".into());
    };
    made.map(Operator::constant).map_err(|error| error.to_string())
}

pub(super) fn of_shape(node: &Node<'_>) -> Reading<Operator> {
    let value = match node.tensor("value")? {
        Some(value) => tensor(value, &mut Files::default()).map_err(|error| error.to_string())?,
        None => Tensor::scalar(0.0),
    };
    let op = ConstantOfShape::new(&value).map_err(|error| error.to_string())?;
    Ok(Operator::one(move |args, ctx| ctx.apply(op.clone(), &[args.need(0)?])))
}
