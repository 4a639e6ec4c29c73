//! Values standardized.

use super::values;
use crate::apply::{Args, Operator, Use};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{BatchNorm2d, BatchNormParams, Reduce, Reduction, ReshapeTo, ShapeOf};

pub(super) fn batch(node: &Node<'_>) -> Reading<Operator> {
    let (eps, momentum) = (node.float("epsilon", 1e-5)?, node.float("momentum", 0.9)?);
    // Version 7 and 8 could keep statistics for each pixel.
    if !node.flag("spatial", true)? {
        return Err("attribute `spatial` is 0, which is not supported".into());
    }
    // Version 6 tells inference from training by an attribute, version 7 by its outputs.
    if node.opset < 7 && !node.flag("is_test", false)? {
        return Err(
            "attribute `is_test` is 0, as in training; export the model for inference".into()
        );
    }
    if node.flag("training_mode", false)? {
        return Ok(Operator::many(move |args, ctx| of_the_batch(args, eps, momentum, ctx)));
    }
    if (1..5).any(|i| node.gives(i)) {
        return Err("it gives statistics, as in training; export the model for inference".into());
    }
    let operator = Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        match x.shape().rank() {
            4 => batch_norm(x, args, eps, momentum, ctx),
            2 => {
                let images = x.unsqueeze(2, ctx)?.unsqueeze(3, ctx)?;
                let y = batch_norm(&images, args, eps, momentum, ctx)?;
                y.squeeze(3, ctx)?.squeeze(2, ctx)
            }
            3 => {
                let images = x.unsqueeze(3, ctx)?;
                batch_norm(&images, args, eps, momentum, ctx)?.squeeze(3, ctx)
            }
            rank => {
                values::check_rank(x.shape(), 2..=6, "batch_norm")?;
                let sizes = ctx.apply(ShapeOf, &[x])?;
                let images = x.flatten(3, rank - 1, ctx)?;
                let y = batch_norm(&images, args, eps, momentum, ctx)?;
                ctx.apply(ReshapeTo, &[&y, &sizes])
            }
        }
    });
    let operator = operator.using(1, Use::Vector).using(2, Use::Vector);
    Ok(operator.using(3, Use::Buffer).using(4, Use::Buffer))
}

/// Of images. The file counts how much of the statistics stays, the layer how much of the batch comes in.
fn batch_norm(x: &Var, args: &Args<'_>, eps: f32, momentum: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
    if let (Some(weight), Some(bias), Some(running_mean), Some(running_var)) =
        (args.param(1), args.param(2), args.param(3), args.param(4))
    {
        let momentum = 1.0 - momentum;
        let norm = BatchNormParams { weight, bias, running_mean, running_var, momentum, eps };
        return x.batch_norm2d(&norm, ctx);
    }
    let value = |i: usize, ctx: &mut Ctx<'_>| {
        let missing = GraphError::MissingInput { op: "batch_norm", input: i };
        Ok::<_, tinytorch_core::Error>(args.value(i, ctx)?.ok_or(missing)?)
    };
    let inputs = [value(1, ctx)?, value(2, ctx)?, value(3, ctx)?, value(4, ctx)?];
    ctx.apply(BatchNorm2d { eps }, &[x, &inputs[0], &inputs[1], &inputs[2], &inputs[3]])
}

/// With the statistics of the batch, which move the running ones.
fn of_the_batch(args: &Args<'_>, eps: f32, momentum: f32, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
    let x = args.need(0)?;
    let rank = x.shape().rank();
    values::check_rank(x.shape(), 2..=6, "batch_norm")?;
    let axes: Vec<i64> = (0..rank as i64).filter(|axis| *axis != 1).collect();
    let [y, mean, _] = standardized(x, &axes, eps, ctx)?;
    let centered = x.sub(&mean, ctx)?;
    let squares = centered.mul(&centered, ctx)?;
    let variance = reduced(Reduction::Mean, &axes, &squares, ctx)?;
    let moved = |running: &Var, batch: &Var, ctx: &mut Ctx<'_>| {
        let batch = ctx.apply(ReshapeTo, &[batch, &values::list(&[-1])?])?;
        running.mul_scalar(momentum, ctx)?.add(&batch.mul_scalar(1.0 - momentum, ctx)?, ctx)
    };
    let running = [moved(args.need(3)?, &mean, ctx)?, moved(args.need(4)?, &variance, ctx)?];
    let (weight, bias) = (channels(args.need(1)?, rank, ctx)?, channels(args.need(2)?, rank, ctx)?);
    let y = y.mul(&weight, ctx)?.add(&bias, ctx)?;
    let [mean, variance] = running;
    Ok(vec![y, mean, variance])
}

fn reduced(reduction: Reduction, axes: &[i64], x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    ctx.apply(Reduce { reduction, axes: axes.to_vec(), keep: true }, &[x])
}

/// `(x - mean) / sqrt(var + eps)` over some axes, with the mean and the inverse of the root.
fn standardized(x: &Var, axes: &[i64], eps: f32, ctx: &mut Ctx<'_>) -> Result<[Var; 3]> {
    let mean = reduced(Reduction::Mean, axes, x, ctx)?;
    let centered = x.sub(&mean, ctx)?;
    let squares = centered.mul(&centered, ctx)?;
    let variance = reduced(Reduction::Mean, axes, &squares, ctx)?;
    let root = variance.add_scalar(eps, ctx)?.sqrt(ctx)?;
    let inverse = ctx.apply(tinytorch_core::ops::Scalar::Reciprocal, &[&root])?;
    Ok([centered.mul(&inverse, ctx)?, mean, inverse])
}

pub(super) fn layer(node: &Node<'_>) -> Reading<Operator> {
    let (axis, eps) = (node.int("axis")?.unwrap_or(-1), node.float("epsilon", 1e-5)?);
    if node.int("stash_type")?.is_some_and(|kind| kind != 1) {
        return Err("attribute `stash_type` asks for another type than float".into());
    }
    let (gives_statistics, has_bias) = (node.gives(1) || node.gives(2), node.has(2));
    let operator = Operator::many(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        let axis = values::axis(axis, rank, "layer_norm")?;
        let missing = GraphError::MissingInput { op: "layer_norm", input: 1 };
        let weight = args.value(1, ctx)?.ok_or(missing)?;
        let bias = args.value(2, ctx)?;
        if axis + 1 == rank
            && !gives_statistics
            && weight.shape().dims() == [x.shape().last_dim()]
            && let Some(bias) = bias.as_ref().filter(|bias| bias.shape() == weight.shape())
        {
            return Ok(vec![x.layer_norm(&weight, bias, eps, ctx)?]);
        }
        let axes: Vec<i64> = (axis as i64..rank as i64).collect();
        let [y, mean, inverse] = standardized(x, &axes, eps, ctx)?;
        let y = y.mul(&weight, ctx)?;
        let y = if let Some(bias) = &bias { y.add(bias, ctx)? } else { y };
        Ok(vec![y, mean, inverse])
    });
    let operator = operator.using(1, Use::Vector);
    Ok(if has_bias { operator.using(2, Use::Vector) } else { operator })
}

/// The sum of two values and perhaps a bias, standardized; the sum is the fourth output.
pub(super) fn skip_layer(node: &Node<'_>) -> Reading<Operator> {
    let eps = node.float("epsilon", 1e-5)?;
    if node.gives(1) || node.gives(2) {
        return Err("it gives statistics, which is not supported".into());
    }
    Ok(Operator::many(move |args, ctx| {
        let mut x = args.need(0)?.add(args.need(1)?, ctx)?;
        if let Some(bias) = args.get(4) {
            x = x.add(bias, ctx)?;
        }
        let weight = args.need(2)?;
        let y = match args.get(3) {
            Some(bias) => x.layer_norm(weight, bias, eps, ctx)?,
            None => standardized(&x, &[-1], eps, ctx)?[0].mul(weight, ctx)?,
        };
        Ok(vec![y.clone(), y.clone(), y, x])
    }))
}

pub(super) fn rms(node: &Node<'_>) -> Reading<Operator> {
    let (axis, eps) = (node.int("axis")?.unwrap_or(-1), node.float("epsilon", 1e-5)?);
    if node.int("stash_type")?.is_some_and(|kind| kind != 1) {
        return Err("attribute `stash_type` asks for another type than float".into());
    }
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        let axis = values::axis(axis, rank, "rms_norm")?;
        let axes: Vec<i64> = (axis as i64..rank as i64).collect();
        let squares = x.mul(x, ctx)?;
        let mean = reduced(Reduction::Mean, &axes, &squares, ctx)?;
        let root = mean.add_scalar(eps, ctx)?.sqrt(ctx)?;
        x.div(&root, ctx)?.mul(args.need(1)?, ctx)
    }))
}

/// Every channel of every sample standardized.
pub(super) fn instance(node: &Node<'_>) -> Reading<Operator> {
    let eps = node.float("epsilon", 1e-5)?;
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let rank = x.shape().rank();
        values::check_rank(x.shape(), 3..=6, "instance_norm")?;
        let axes: Vec<i64> = (2..rank as i64).collect();
        let [y, _, _] = standardized(x, &axes, eps, ctx)?;
        let (weight, bias) =
            (channels(args.need(1)?, rank, ctx)?, channels(args.need(2)?, rank, ctx)?);
        y.mul(&weight, ctx)?.add(&bias, ctx)
    }))
}

/// A list with an entry for each channel, to be stretched over a value of `rank` dimensions.
fn channels(list: &Var, rank: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
    (1..rank - 1).try_fold(list.clone(), |list, axis| list.unsqueeze(axis, ctx))
}

pub(super) fn mean_variance(node: &Node<'_>) -> Reading<Operator> {
    let axes = node.ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec();
    Ok(Operator::one(move |args, ctx| {
        // The format adds this to the deviation, so that a constant is 0.
        let x = args.need(0)?;
        let mean = reduced(Reduction::Mean, &axes, x, ctx)?;
        let centered = x.sub(&mean, ctx)?;
        let squares = centered.mul(&centered, ctx)?;
        let deviation = reduced(Reduction::Mean, &axes, &squares, ctx)?.sqrt(ctx)?;
        let deviation = deviation.add_scalar(1e-9, ctx)?;
        centered.div(&deviation, ctx)
    }))
}

pub(super) fn lp(node: &Node<'_>) -> Reading<Operator> {
    let axis = node.int("axis")?.unwrap_or(-1);
    let reduction = match node.int("p")?.unwrap_or(2) {
        1 => Reduction::L1,
        2 => Reduction::L2,
        p => return Err(format!("attribute `p` is {p}; 1 and 2 are supported")),
    };
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        let norm = reduced(reduction, &[axis], x, ctx)?;
        // Nothing but zeros stays so.
        let tiny = Var::from(tinytorch_core::Tensor::scalar(f32::MIN_POSITIVE));
        let norm = ctx.apply(tinytorch_core::ops::Extremum::Max, &[&norm, &tiny])?;
        x.div(&norm, ctx)
    }))
}
