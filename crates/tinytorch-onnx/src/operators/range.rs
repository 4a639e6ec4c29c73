//! Numbers at equal distances.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::Range;
use tinytorch_core::tensor::Dtype;
use tinytorch_core::{Result, Tensor};

pub(super) fn range(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let numbers = [args.need(0)?, args.need(1)?, args.need(2)?];
        match numbers[0].value().dtype() {
            Dtype::F32 => floats(numbers, ctx),
            Dtype::I64 => ctx.apply(Range, &numbers),
            dtype => {
                let longs = numbers.map(|number| values::as_type(number, Dtype::I64, ctx));
                let [a, b, c] = longs;
                ctx.apply(Range, &[&a?, &b?, &c?])?.cast(dtype, ctx)
            }
        }
    }))
}

/// Of floats the number of entries depends on values, so that they have to be constants.
fn floats(numbers: [&Var; 3], ctx: &mut Ctx<'_>) -> Result<Var> {
    if numbers.iter().any(|number| number.is_tracked()) {
        return Err(GraphError::NotDecided { op: "range" }.into());
    }
    let [start, limit, step] = [0, 1, 2].map(|i: usize| numbers[i].value().item());
    let (start, limit, step) = (start?, limit?, step?);
    let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil().max(0.0);
    // The integers are counted by the op, which refuses too many.
    let one = |value: i64| Tensor::from_vec(vec![value], []).map(Var::from);
    let (zero, count, by) = (one(0)?, one(count as i64)?, one(1)?);
    let places = ctx.apply(Range, &[&zero, &count, &by])?.cast(Dtype::F32, ctx)?;
    places.mul_scalar(step, ctx)?.add_scalar(start, ctx)
}
