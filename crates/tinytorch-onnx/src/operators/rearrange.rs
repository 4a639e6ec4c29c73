//! Elements in other places.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::autograd::Var;
use tinytorch_core::ops::{Blocks, OneHot, ResponseNorm, ScatterNd, Tile, Triangle, Update};
use tinytorch_core::tensor::{Dtype, Tensor};

fn block(node: &Node<'_>) -> Reading<usize> {
    let size = node.int("blocksize")?.ok_or("attribute `blocksize` is missing")?;
    usize::try_from(size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or("attribute `blocksize` must be positive".into())
}

pub(super) fn depth_to_space(node: &Node<'_>) -> Reading<Operator> {
    let by_channel = node.choice("mode", &[("DCR", false), ("CRD", true)])?;
    let op = Blocks::DepthToSpace { block: block(node)?, by_channel };
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?])))
}

pub(super) fn space_to_depth(node: &Node<'_>) -> Reading<Operator> {
    if node.choice("mode", &[("DCR", false), ("CRD", true)])? {
        return Err("attribute `mode` is CRD, which is not supported".into());
    }
    let op = Blocks::SpaceToDepth { block: block(node)? };
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?])))
}

pub(super) fn trilu(node: &Node<'_>) -> Reading<Operator> {
    let upper = node.flag("upper", true)?;
    Ok(Operator::many(move |args, ctx| ctx.apply_many(Triangle { upper }, &args.optional())))
}

pub(super) fn tile(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| ctx.apply(Tile, &[args.need(0)?, args.need(1)?])))
}

pub(super) fn scatter_nd(node: &Node<'_>) -> Reading<Operator> {
    let update = node.choice(
        "reduction",
        &[
            ("none", Update::Replace),
            ("add", Update::Add),
            ("mul", Update::Mul),
            ("max", Update::Max),
            ("min", Update::Min),
        ],
    )?;
    Ok(Operator::one(move |args, ctx| {
        ctx.apply(ScatterNd(update), &[args.need(0)?, args.need(1)?, args.need(2)?])
    }))
}

pub(super) fn one_hot(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(-1);
    Ok(Operator::one(move |args, ctx| {
        // A length may be written as a float.
        let depth = values::as_type(args.need(1)?, Dtype::I64, ctx)?;
        ctx.apply(OneHot { axis }, &[args.need(0)?, &depth, args.need(2)?])
    }))
}

pub(super) fn lrn(node: &Node<'_>) -> Reading<Operator> {
    let size = node.int("size")?.ok_or("attribute `size` is missing")?;
    let size = usize::try_from(size).map_err(|_| "attribute `size` must be positive")?;
    let (alpha, beta) = (node.float("alpha", 1e-4)?, node.float("beta", 0.75)?);
    let op = ResponseNorm { size, alpha, beta, bias: node.float("bias", 1.0)? };
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?])))
}

/// Sums along an axis up to each entry, as a product with a triangle of ones.
pub(super) fn cum_sum(node: &Node<'_>) -> Reading<Operator> {
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let axis = node.integers(1)?.and_then(|axes| axes.first().copied());
    let axis = axis.ok_or("input 1 is missing")?;
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        let axis = values::axis(axis, rank, "cum_sum")?;
        let x = if axis + 1 < rank { x.transpose(axis, rank - 1, ctx)? } else { x.clone() };
        let len = x.shape().last_dim();
        let holds = |from: usize, to: usize| match (reverse, exclusive) {
            (false, false) => from <= to,
            (false, true) => from < to,
            (true, false) => from >= to,
            (true, true) => from > to,
        };
        let ones = (0..len * len).map(|i| f32::from(holds(i / len.max(1), i % len.max(1))));
        let ones = Var::from(Tensor::from_vec(ones.collect(), [len, len])?);
        let y = ctx.apply(tinytorch_core::ops::MatMul, &[&x, &ones])?;
        if axis + 1 < rank { y.transpose(axis, rank - 1, ctx) } else { Ok(y) }
    }))
}
