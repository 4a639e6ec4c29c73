//! Functions of each element.

use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::autograd::{Ctx, Op, Var};
use tinytorch_core::ops::{Binary, Clamp, Extremum, Pointwise, Scalar, functions};
use tinytorch_core::tensor::Dtype;
use tinytorch_core::{Result, Tensor};

/// An operator of one input, from a method of values.
fn method(f: fn(&Var, &mut Ctx<'_>) -> Result<Var>) -> Reading<Operator> {
    Ok(Operator::one(move |args, ctx| f(args.need(0)?, ctx)))
}

fn op(op: impl Op + Copy) -> Reading<Operator> {
    Ok(Operator::one(move |args, ctx| ctx.apply(op, &[args.need(0)?])))
}

/// One number of a type, in the shape of a scalar.
fn number(value: i64, dtype: Dtype, ctx: &mut Ctx<'_>) -> Result<Var> {
    Var::from(Tensor::from_vec(vec![value], [])?).cast(dtype, ctx)
}

/// The larger of a value and its negative, of floats and of integers.
pub(super) fn abs(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let x = args.need(0)?;
        match x.value().dtype() {
            Dtype::F32 => x.abs(ctx),
            Dtype::U8 => Ok(x.clone()),
            _ => {
                let negative = negated(x, ctx)?;
                ctx.apply(Extremum::Max, &[x, &negative])
            }
        }
    }))
}

fn negated(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    match x.value().dtype() {
        Dtype::F32 => x.neg(ctx),
        dtype => {
            let zero = number(0, dtype, ctx)?;
            ctx.apply(Binary::Sub, &[&zero, x])
        }
    }
}

pub(super) fn neg(_: &Node<'_>) -> Reading<Operator> {
    method(negated)
}

pub(super) fn relu(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let x = args.need(0)?;
        match x.value().dtype() {
            Dtype::F32 => x.relu(ctx),
            dtype => {
                let zero = number(0, dtype, ctx)?;
                ctx.apply(Extremum::Max, &[x, &zero])
            }
        }
    }))
}

pub(super) fn exp(_: &Node<'_>) -> Reading<Operator> {
    method(Var::exp)
}

pub(super) fn log(_: &Node<'_>) -> Reading<Operator> {
    method(Var::ln)
}

pub(super) fn sqrt(_: &Node<'_>) -> Reading<Operator> {
    method(Var::sqrt)
}

pub(super) fn sigmoid(_: &Node<'_>) -> Reading<Operator> {
    method(Var::sigmoid)
}

pub(super) fn tanh(_: &Node<'_>) -> Reading<Operator> {
    method(Var::tanh)
}

pub(super) fn erf(_: &Node<'_>) -> Reading<Operator> {
    op(Pointwise { name: "erf", f: functions::Erf })
}

pub(super) fn gelu(node: &Node<'_>) -> Reading<Operator> {
    let by_tanh = node.choice("approximate", &[("none", false), ("tanh", true)])?;
    method(if by_tanh { Var::gelu_tanh } else { Var::gelu })
}

pub(super) fn swish(node: &Node<'_>) -> Reading<Operator> {
    op(Pointwise { name: "swish", f: functions::Swish { beta: node.float("alpha", 1.0)? } })
}

pub(super) fn reciprocal(_: &Node<'_>) -> Reading<Operator> {
    op(Scalar::Reciprocal)
}

pub(super) fn leaky_relu(node: &Node<'_>) -> Reading<Operator> {
    op(Scalar::LeakyRelu { slope: node.float("alpha", 0.01)? })
}

pub(super) fn elu(node: &Node<'_>) -> Reading<Operator> {
    op(Scalar::Elu { alpha: node.float("alpha", 1.0)?, scale: 1.0, gamma: 1.0 })
}

pub(super) fn celu(node: &Node<'_>) -> Reading<Operator> {
    let alpha = node.float("alpha", 1.0)?;
    op(Scalar::Elu { alpha, scale: alpha, gamma: 1.0 })
}

pub(super) fn selu(node: &Node<'_>) -> Reading<Operator> {
    // What the format says they are if they are left out.
    let (alpha, gamma) = (node.float("alpha", 1.673_263_2)?, node.float("gamma", 1.050_701)?);
    op(Scalar::Elu { alpha, scale: 1.0, gamma })
}

pub(super) fn hard_sigmoid(node: &Node<'_>) -> Reading<Operator> {
    op(Scalar::HardSigmoid { slope: node.float("alpha", 0.2)?, shift: node.float("beta", 0.5)? })
}

pub(super) fn hard_swish(_: &Node<'_>) -> Reading<Operator> {
    op(Scalar::HardSwish)
}

pub(super) fn thresholded_relu(node: &Node<'_>) -> Reading<Operator> {
    op(Scalar::Threshold(node.float("alpha", 1.0)?))
}

pub(super) fn shrink(node: &Node<'_>) -> Reading<Operator> {
    op(Scalar::Shrink { bias: node.float("bias", 0.0)?, limit: node.float("lambd", 0.5)? })
}

/// Functions without attributes.
pub(super) fn scalar(node: &Node<'_>) -> Reading<Operator> {
    op(match node.op_type() {
        "Sin" => Scalar::Sin,
        "Cos" => Scalar::Cos,
        "Tan" => Scalar::Tan,
        "Asin" => Scalar::Asin,
        "Acos" => Scalar::Acos,
        "Atan" => Scalar::Atan,
        "Sinh" => Scalar::Sinh,
        "Cosh" => Scalar::Cosh,
        "Asinh" => Scalar::Asinh,
        "Acosh" => Scalar::Acosh,
        "Atanh" => Scalar::Atanh,
        "Floor" => Scalar::Floor,
        "Ceil" => Scalar::Ceil,
        "Round" => Scalar::Round,
        "Sign" => Scalar::Sign,
        "Softplus" => Scalar::Softplus,
        "Softsign" => Scalar::Softsign,
        "Mish" => Scalar::Mish,
        other => return Err(format!("{other} is no function of each element")),
    })
}

/// `x` above 0, else times a slope that is a value.
pub(super) fn prelu(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let (x, slope) = (args.need(0)?, args.need(1)?);
        let zero = number(0, Dtype::F32, ctx)?;
        let below = ctx.apply(Extremum::Min, &[x, &zero])?.mul(slope, ctx)?;
        x.relu(ctx)?.add(&below, ctx)
    }))
}

/// Bounds are attributes before version 11, and inputs after it.
pub(super) fn clip(node: &Node<'_>) -> Reading<Operator> {
    let (low, high) = match node.opset {
        ..11 => (node.optional_float("min")?, node.optional_float("max")?),
        _ => {
            let is_open = |i: usize| {
                let is_float = |value: &Tensor| value.dtype() == Dtype::F32;
                node.has(i) && !node.constant(i).is_some_and(is_float)
            };
            if is_open(1) || is_open(2) {
                return Ok(clip_to_values());
            }
            (node.float_input(1)?, node.float_input(2)?)
        }
    };
    let low = low.unwrap_or(f32::NEG_INFINITY);
    let high = high.unwrap_or(f32::INFINITY);
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        match x.value().dtype() {
            // A plan fuses a ReLU with the layer before it.
            Dtype::F32 if low == 0.0 && high == f32::INFINITY => x.relu(ctx),
            Dtype::F32 => ctx.apply(Pointwise { name: "clip", f: Clamp { low, high } }, &[x]),
            // Integers have no bounds that are floats.
            _ => Ok(x.clone()),
        }
    }))
}

fn clip_to_values() -> Operator {
    Operator::one(|args, ctx| {
        let mut x = args.need(0)?.clone();
        if let Some(low) = args.get(1) {
            x = ctx.apply(Extremum::Max, &[&x, low])?;
        }
        match args.get(2) {
            Some(high) => ctx.apply(Extremum::Min, &[&x, high]),
            None => Ok(x),
        }
    })
}
