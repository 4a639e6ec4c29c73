//! Numbers in few bits and the floats that they stand for.

use super::values;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use crate::tensor::number;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::ops::{Clamp, Pointwise, Reduce, Reduction, Scalar};
use tinytorch_core::tensor::Number;
use tinytorch_core::tensor::{Dtype, TensorError};
use tinytorch_core::{Result, Tensor};

/// The axis along which scales lie, unless a node names another.
const AXIS: i64 = 1;

/// `(x - zero point) * scale`.
pub(super) fn dequantize(node: &Node<'_>) -> Reading<Operator> {
    let lie = Lie::read(node)?;
    Ok(Operator::one(move |args, ctx| {
        let x = lie.apart(args.need(0)?, ctx)?.cast(Dtype::F32, ctx)?;
        let centered = match lie.along(args, 2, ctx)? {
            Some(zero_point) => x.sub(&zero_point, ctx)?,
            None => x,
        };
        let floats = match lie.along(args, 1, ctx)? {
            Some(scale) => centered.mul(&scale, ctx)?,
            None => centered,
        };
        lie.together(&floats, ctx)
    }))
}

/// `round(x / scale) + zero point`, ties to even, within the values of the zero point's type.
pub(super) fn quantize(node: &Node<'_>) -> Reading<Operator> {
    let lie = Lie::read(node)?;
    node.flag("saturate", true)?;
    if node.int("precision")?.is_some_and(|precision| precision != 0 && precision != 1) {
        return Err("divisions in another precision than 32 bits are not supported".into());
    }
    let wanted = match node.int("output_dtype")? {
        None | Some(0) => None,
        Some(wanted) => Some(number(i32::try_from(wanted).unwrap_or(0))?),
    };
    let declared = node.number(2).or(wanted);
    Ok(Operator::one(move |args, ctx| {
        // Of a zero point that is computed only the type in which it is held is known.
        let of_zero_point = args.get(2).map(|zero_point| zero_point.value().dtype().into());
        let number = declared.or(of_zero_point).unwrap_or(Number::U8);
        let (low, high) = match number {
            Number::U8 => (0.0, 255.0),
            Number::I8 => (-128.0, 127.0),
            Number::U16 => (0.0, 65535.0),
            Number::I16 => (-32768.0, 32767.0),
            number => {
                let got = number.held();
                return Err(TensorError::Dtype { expected: Dtype::U8, got }.into());
            }
        };
        let x = lie.apart(args.need(0)?, ctx)?.cast(Dtype::F32, ctx)?;
        let steps = match lie.along(args, 1, ctx)? {
            Some(scale) => x.div(&scale, ctx)?,
            None => x,
        };
        let steps = ctx.apply(Scalar::Round, &[&steps])?;
        let levels = match lie.along(args, 2, ctx)? {
            Some(zero_point) => steps.add(&zero_point, ctx)?,
            None => steps,
        };
        let levels = lie.together(&levels, ctx)?;
        ctx.apply(Pointwise { name: "saturate", f: Clamp { low, high } }, &[&levels])?
            .cast(number.held(), ctx)
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

/// How scales and zero points lie on the values.
#[derive(Clone, Copy, Debug)]
struct Lie {
    /// The axis along which there are several.
    axis: i64,
    /// So many neighbours along the axis share one, if not each has its own.
    block: Option<usize>,
}

impl Lie {
    fn read(node: &Node<'_>) -> Reading<Lie> {
        let block = node.int("block_size")?.filter(|size| *size != 0);
        let block =
            block.map(|size| usize::try_from(size).map_err(|_| "its blocks are of no size"));
        Ok(Lie { axis: node.int("axis")?.unwrap_or(AXIS), block: block.transpose()? })
    }

    /// The axis of a value of so many dimensions.
    fn of(self, rank: usize) -> Result<usize> {
        values::axis(self.axis, rank, "quantize")
    }

    /// The value with an axis for the neighbours that share a scale.
    fn apart(self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let Some(block) = self.block else { return Ok(x.clone()) };
        let axis = self.of(x.shape().rank())?;
        let size = x.shape()[axis];
        if !size.is_multiple_of(block) {
            let expected = format!("blocks of {block} along axis {axis}");
            return Err(TensorError::Shape { op: "quantize", shape: *x.shape(), expected }.into());
        }
        x.unflatten(axis, &[size / block, block], ctx)
    }

    /// [`Lie::apart`] undone.
    fn together(self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        if self.block.is_none() {
            return Ok(x.clone());
        }
        let axis = self.of(x.shape().rank() - 1)?;
        x.flatten(axis, axis + 1, ctx)
    }

    /// A scale or zero point as a float, in a shape that meets the values.
    fn along(self, args: &Args<'_>, i: usize, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        let Some(given) = args.get(i) else { return Ok(None) };
        let (x, own) = (*args.need(0)?.shape(), *given.shape());
        let given = given.cast(Dtype::F32, ctx)?;
        let rank = x.rank();
        if self.block.is_some() {
            return given.unsqueeze(self.of(rank)? + 1, ctx).map(Some);
        }
        if own.len() == 1 {
            return given.reshape([], ctx).map(Some);
        }
        let axis = self.of(rank).ok();
        let fits = |axis: &usize| own.rank() == 1 && x[*axis] == own.len();
        let Some(axis) = axis.filter(fits) else {
            let expected = format!("one for all, or one for each value along an axis of {x}");
            return Err(TensorError::Shape { op: args.operator, shape: own, expected }.into());
        };
        let mut shape = vec![1; rank];
        shape[axis] = own.len();
        given.reshape(&shape[..], ctx).map(Some)
    }
}
