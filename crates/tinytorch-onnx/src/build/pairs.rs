//! Values that are rounded to levels and read as floats again: one step instead of two.

use crate::apply::Operator;
use crate::program::{Slot, Step};
use crate::proto::NodeProto;
use tinytorch_core::Tensor;
use tinytorch_core::ops::Pointwise;
use tinytorch_core::tensor::Dtype;
use tinytorch_kernels::f32::Function;
use tinytorch_kernels::isa::Simd;

/// The nearest multiple of `scale` from `low` to `high` of them, ties to even; the derivative is 1 between the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RoundToLevels {
    scale: f32,
    low: f32,
    high: f32,
}

impl Function for RoundToLevels {
    const COST: usize = 5;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let steps = s.round(s.div(x, s.splat(self.scale)));
        let level = s.min(s.splat(self.high), s.max(s.splat(self.low), steps));
        s.mul(level, s.splat(self.scale))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let steps = s.div(x, s.splat(self.scale));
        let below = s.select(s.le(steps, s.splat(self.high)), one, zero);
        s.select(s.le(s.splat(self.low), steps), below, zero)
    }
}

/// A `QuantizeLinear` and the `DequantizeLinear` that undoes it.
pub(super) struct Pair {
    /// The place of the first in the graph.
    pub(super) first: usize,
    /// What it rounds.
    pub(super) from: Slot,
    pub(super) operator: Operator,
}

impl Pair {
    /// The pair that this node ends, if one of these steps begins it and its scale is one and the same. `constant`
    /// gives values that are known.
    pub(super) fn ending<'t>(
        node: &NodeProto,
        inputs: &[Option<Slot>],
        steps: &[Step],
        constant: impl Fn(Slot) -> Option<&'t Tensor>,
    ) -> Option<Pair> {
        let is_end = node.op_type == "DequantizeLinear" && node.domain.is_empty();
        let levels = inputs.first().copied().flatten().filter(|_| is_end)?;
        let gives = |step: &&Step| step.outputs.contains(&Some(levels));
        let first = steps.iter().rev().find(gives)?;
        let [Some(from), given @ ..] = &first.inputs[..] else { return None };
        let is_start = first.name == "QuantizeLinear" && first.outputs.len() == 1;
        let rounding = rounding(given, &constant).filter(|_| is_start)?;
        let operator = Operator::one(move |args, ctx| {
            let f = Pointwise { name: "round_to_levels", f: rounding };
            let x = args.need(0)?.cast(Dtype::F32, ctx)?;
            ctx.apply(f, &[&x])
        });
        let is_same = self::rounding(&inputs[1..], &constant) == Some(rounding);
        is_same.then_some(Pair { first: first.at, from: *from, operator })
    }
}

/// How a constant scale and zero point of 8 bits round.
fn rounding<'t>(
    steps: &[Option<Slot>],
    constant: &impl Fn(Slot) -> Option<&'t Tensor>,
) -> Option<RoundToLevels> {
    let &[Some(scale), Some(zero_point)] = steps else { return None };
    let single = |slot: Slot| constant(slot).filter(|value| value.len() == 1);
    let (scale, zero_point) = (single(scale)?, single(zero_point)?);
    let (least, most) = match zero_point.dtype() {
        Dtype::U8 => (0.0, 255.0),
        Dtype::I8 => (-128.0, 127.0),
        _ => return None,
    };
    let one = |value: &Tensor| value.to_dtype::<f32>()?.item();
    let (scale, zero_point) = (one(scale).ok()?, one(zero_point).ok()?);
    let (low, high) = (least - zero_point, most - zero_point);
    (scale > 0.0 && scale.is_finite()).then_some(RoundToLevels { scale, low, high })
}
