//! Numbers in few bits and the floats that they stand for.

use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use crate::tensor::computed;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Clamp, Pointwise, Reduce, Reduction, Scalar};
use tinytorch_core::tensor::{Dtype, TensorError};
use tinytorch_core::{Result, Tensor};

/// The axis along which scales lie, unless a node names another.
const AXIS: i64 = 1;

/// `(x - zero point) * scale`.
pub(super) fn dequantize(node: &Node<'_>) -> Reading<Operator> {
    let axis = axis(node)?;
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?.cast(Dtype::F32, ctx)?;
        let centered = match along(args, 2, axis, ctx)? {
            Some(zero_point) => x.sub(&zero_point, ctx)?,
            None => x,
        };
        match along(args, 1, axis, ctx)? {
            Some(scale) => centered.mul(&scale, ctx),
            None => Ok(centered),
        }
    }))
}

/// `round(x / scale) + zero point`, ties to even, within the values of the zero point's type.
pub(super) fn quantize(node: &Node<'_>) -> Reading<Operator> {
    let axis = axis(node)?;
    node.flag("saturate", true)?;
    if node.int("precision")?.is_some_and(|precision| precision != 0 && precision != 1) {
        return Err("divisions in another precision than 32 bits are not supported".into());
    }
    let wanted = match node.int("output_dtype")? {
        None | Some(0) => None,
        Some(wanted) => Some(computed(i32::try_from(wanted).unwrap_or(0))?),
    };
    Ok(Operator::one(move |args, ctx| {
        let of_zero_point = args.get(2).map(|zero_point| zero_point.value().dtype());
        let dtype = of_zero_point.or(wanted).unwrap_or(Dtype::U8);
        let (low, high) = match dtype {
            Dtype::U8 => (0.0, 255.0),
            Dtype::I8 => (-128.0, 127.0),
            got => return Err(TensorError::Dtype { expected: Dtype::U8, got }.into()),
        };
        let x = args.need(0)?.cast(Dtype::F32, ctx)?;
        let steps = match along(args, 1, axis, ctx)? {
            Some(scale) => x.div(&scale, ctx)?,
            None => x,
        };
        let steps = ctx.apply(Scalar::Round, &[&steps])?;
        let levels = match along(args, 2, axis, ctx)? {
            Some(zero_point) => steps.add(&zero_point, ctx)?,
            None => steps,
        };
        ctx.apply(Pointwise { name: "saturate", f: Clamp { low, high } }, &[&levels])?
            .cast(dtype, ctx)
    }))
}

/// Levels from 0 to 255 over the values' own range, which 0 belongs to, and how they are read.
pub(super) fn dynamic_quantize(_: &Node<'_>) -> Reading<Operator> {
    const LEVELS: f32 = 255.0;
    Ok(Operator::many(|args, ctx| {
        let x = args.need(0)?;
        let all: Vec<i64> = (0..x.shape().rank() as i64).collect();
        let end = |reduction, clamp: Clamp, ctx: &mut Ctx<'_>| {
            let reduce = Reduce { reduction, axes: all.clone(), keep: false };
            let end = ctx.apply(reduce, &[x])?;
            ctx.apply(Pointwise { name: "with zero", f: clamp }, &[&end])
        };
        let low = end(Reduction::Min, Clamp { low: f32::NEG_INFINITY, high: 0.0 }, ctx)?;
        let high = end(Reduction::Max, Clamp { low: 0.0, high: f32::INFINITY }, ctx)?;
        let scale = high.sub(&low, ctx)?.div(&Var::from(&Tensor::scalar(LEVELS)), ctx)?;
        // Nothing but zeros has no step, and is all the level 0.
        let at_least = Clamp { low: f32::MIN_POSITIVE, high: f32::INFINITY };
        let step = ctx.apply(Pointwise { name: "step", f: at_least }, &[&scale])?;
        let saturate = |x: &Var, ctx: &mut Ctx<'_>| {
            let f = Clamp { low: 0.0, high: LEVELS };
            ctx.apply(Pointwise { name: "saturate", f }, &[x])
        };
        let lowest = low.mul_scalar(-1.0, ctx)?.div(&step, ctx)?;
        let zero_point = saturate(&lowest, ctx)?;
        let zero_point = ctx.apply(Scalar::Round, &[&zero_point])?;
        let steps = x.div(&step, ctx)?;
        let levels = ctx.apply(Scalar::Round, &[&steps])?.add(&zero_point, ctx)?;
        let levels = saturate(&levels, ctx)?.cast(Dtype::U8, ctx)?;
        Ok(vec![levels, scale, zero_point.cast(Dtype::U8, ctx)?])
    }))
}

fn axis(node: &Node<'_>) -> Reading<i64> {
    if node.int("block_size")?.is_some_and(|size| size != 0) {
        return Err("scales in blocks are not supported".into());
    }
    Ok(node.int("axis")?.unwrap_or(AXIS))
}

/// A scale or zero point as a float, in a shape that meets the values along the axis.
fn along(args: &Args<'_>, i: usize, axis: i64, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
    let Some(given) = args.get(i) else { return Ok(None) };
    let (x, own) = (*args.need(0)?.shape(), *given.shape());
    let given = given.cast(Dtype::F32, ctx)?;
    if own.len() == 1 {
        return given.reshape([], ctx).map(Some);
    }
    let rank = x.rank();
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis });
    let fits = |axis: &usize| own.rank() == 1 && *axis < rank && x[*axis] == own.len();
    let Some(axis) = axis.ok().filter(fits) else {
        let expected = format!("one for all, or one for each value along an axis of {x}");
        return Err(TensorError::Shape { op: args.operator, shape: own, expected }.into());
    };
    let mut shape = vec![1; rank];
    shape[axis] = own.len();
    given.reshape(&shape[..], ctx).map(Some)
}
