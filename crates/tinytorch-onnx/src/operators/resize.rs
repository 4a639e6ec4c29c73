//! Images of another size.

use super::values;
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::{Interpolation, Proportions, Resize, ResizePlace, Rounding};

pub(super) fn resize(node: &Node<'_>) -> Reading<Operator> {
    if node.opset < 11 {
        return by_scales(node);
    }
    let rounding = node.choice(
        "nearest_mode",
        &[
            ("round_prefer_floor", Rounding::HalfDown),
            ("round_prefer_ceil", Rounding::HalfUp),
            ("floor", Rounding::Down),
            ("ceil", Rounding::Up),
        ],
    )?;
    let a = node.float("cubic_coeff_a", -0.75)?;
    let interpolation = node.choice(
        "mode",
        &[
            ("nearest", Interpolation::Nearest(rounding)),
            ("linear", Interpolation::Linear),
            ("cubic", Interpolation::Cubic { a }),
        ],
    )?;
    let place = node.choice(
        "coordinate_transformation_mode",
        &[
            ("half_pixel", ResizePlace::HalfPixel),
            ("half_pixel_symmetric", ResizePlace::HalfPixelSymmetric),
            ("pytorch_half_pixel", ResizePlace::HalfPixelOrFirst),
            ("align_corners", ResizePlace::AlignCorners),
            ("asymmetric", ResizePlace::Asymmetric),
            ("tf_crop_and_resize", ResizePlace::Crop),
        ],
    )?;
    let proportions = node.choice(
        "keep_aspect_ratio_policy",
        &[
            ("stretch", Proportions::Stretch),
            ("not_larger", Proportions::NotLarger),
            ("not_smaller", Proportions::NotSmaller),
        ],
    )?;
    let op = Resize {
        interpolation,
        place,
        axes: node.ints("axes")?.map(<[i64]>::to_vec),
        proportions,
        antialias: node.flag("antialias", false)?,
        exclude_outside: node.flag("exclude_outside", false)?,
        outside: node.float("extrapolation_value", 0.0)?,
    };
    let is_crop = place == ResizePlace::Crop;
    Ok(Operator::one(move |args, ctx| {
        // Empty scales and crops stand for none.
        let given = |i: usize| args.get(i).filter(|value| !value.shape().is_empty());
        let crop = given(1).filter(|_| is_crop);
        one(&op, &[args.get(0), crop, given(2), given(3)], ctx)
    }))
}

/// What the versions before 11 do: entry `i` is entry `i / scale`.
fn by_scales(node: &Node<'_>) -> Reading<Operator> {
    let interpolation = node.choice(
        "mode",
        &[("nearest", Interpolation::Nearest(Rounding::Down)), ("linear", Interpolation::Linear)],
    )?;
    let op = Resize { interpolation, place: ResizePlace::Asymmetric, ..Resize::nearest() };
    Ok(Operator::one(move |args, ctx| one(&op, &[args.get(0), None, args.get(1)], ctx)))
}

pub(super) fn upsample(node: &Node<'_>) -> Reading<Operator> {
    if node.opset >= 9 {
        return by_scales(node);
    }
    let scales = node.floats("scales")?.ok_or("attribute `scales` is missing")?.to_vec();
    let interpolation = node.choice(
        "mode",
        &[("nearest", Interpolation::Nearest(Rounding::Down)), ("linear", Interpolation::Linear)],
    )?;
    let op = Resize { interpolation, place: ResizePlace::Asymmetric, ..Resize::nearest() };
    Ok(Operator::one(move |args, ctx| {
        one(&op, &[args.get(0), None, Some(&values::floats(&scales)?)], ctx)
    }))
}

fn one(op: &Resize, inputs: &[Option<&Var>], ctx: &mut Ctx<'_>) -> Result<Var> {
    let none = GraphError::OutputCount { op: "resize", outputs: 0 };
    Ok(ctx.apply_many(op.clone(), inputs)?.into_iter().next().ok_or(none)?)
}
