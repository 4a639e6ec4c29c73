//! Values with a border.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::autograd::Var;
use tinytorch_core::ops::{Border, Pad};
use tinytorch_core::tensor::Tensor;

pub(super) fn pad(node: &Node<'_>) -> Reading<Operator> {
    let border = node.choice(
        "mode",
        &[
            ("constant", Border::Constant),
            ("reflect", Border::Reflect),
            ("edge", Border::Edge),
            ("wrap", Border::Wrap),
        ],
    )?;
    if node.opset < 11 {
        let pads = node.ints("pads")?.ok_or("attribute `pads` is missing")?.to_vec();
        let value = node.float("value", 0.0)?;
        return Ok(Operator::one(move |args, ctx| {
            let (pads, value) = (values::list(&pads)?, Var::from(Tensor::scalar(value)));
            ctx.apply(Pad(border), &[args.need(0)?, &pads, &value])
        }));
    }
    Ok(Operator::many(move |args, ctx| ctx.apply_many(Pad(border), &args.optional())))
}
