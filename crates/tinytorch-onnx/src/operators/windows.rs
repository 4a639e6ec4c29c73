//! How the windows of convolutions and pools move: strides, dilations and borders, which `auto_pad` may leave to the
//! size of the image.

use super::values;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::tensor::{Shape, TensorError};

/// What decides the borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Auto {
    /// The node says them.
    Given,
    /// So that there is an output for each stride; what is odd goes below and right.
    SameUpper,
    /// The same, what is odd goes above and left.
    SameLower,
    /// There are none.
    Valid,
}

/// How windows move along one axis or several.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    auto: Auto,
}

/// How windows move along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Along {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) pads: [usize; 2],
}

impl Windows {
    pub(crate) fn read(node: &Node<'_>) -> Reading<Windows> {
        let list = |name| Ok::<_, String>(node.ints(name)?.map(<[i64]>::to_vec));
        let auto = node.choice(
            "auto_pad",
            &[
                ("NOTSET", Auto::Given),
                ("SAME_UPPER", Auto::SameUpper),
                ("SAME_LOWER", Auto::SameLower),
                ("VALID", Auto::Valid),
            ],
        )?;
        let (strides, dilations, pads) = (list("strides")?, list("dilations")?, list("pads")?);
        if pads.iter().flatten().any(|pad| *pad < 0) {
            return Err("attribute `pads` has a negative entry".into());
        }
        Ok(Windows { strides, dilations, pads, auto })
    }

    /// An image whose size has decided the borders: a plan refuses images of other sizes then.
    pub(crate) fn held(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let is_same = matches!(self.auto, Auto::SameUpper | Auto::SameLower);
        let strides = self.strides.iter().flatten();
        if !is_same || !x.is_tracked() || strides.into_iter().all(|stride| *stride == 1) {
            return Ok(x.clone());
        }
        let axes = 2..x.shape().rank();
        axes.into_iter().try_fold(x.clone(), |x, axis| x.unflatten(axis, &[x.shape()[axis]], ctx))
    }

    /// How windows of these sizes move over an image `[batch, channels, ..]`.
    pub(crate) fn along(
        &self,
        image: &Shape,
        kernel: &[usize],
        op: &'static str,
    ) -> Result<Vec<Along>> {
        let wrong =
            |expected: &str| TensorError::Shape { op, shape: *image, expected: expected.into() };
        let axes = kernel.len();
        values::check_rank(image, axes + 2..=axes + 2, op)?;
        let entry = |list: &Option<Vec<i64>>, i: usize| match list {
            None => Ok(1),
            Some(list) => list
                .get(i)
                .and_then(|&value| usize::try_from(value).ok())
                .filter(|value| *value > 0 && list.len() == axes)
                .ok_or_else(|| wrong("it needs a positive stride and dilation for each axis")),
        };
        if self.pads.as_ref().is_some_and(|pads| pads.len() != 2 * axes) {
            return Err(wrong("it needs two borders for each axis").into());
        }
        let mut all = Vec::with_capacity(axes);
        for i in 0..axes {
            let (stride, dilation) = (entry(&self.strides, i)?, entry(&self.dilations, i)?);
            let len = image[i + 2];
            let span = kernel[i].saturating_sub(1).saturating_mul(dilation).saturating_add(1);
            let same = (len.div_ceil(stride).saturating_sub(1))
                .saturating_mul(stride)
                .saturating_add(span)
                .saturating_sub(len);
            let pads = match (self.auto, &self.pads) {
                (Auto::SameUpper, _) => [same / 2, same - same / 2],
                (Auto::SameLower, _) => [same - same / 2, same / 2],
                // Negative ones were refused when the node was read.
                (Auto::Given, Some(pads)) => {
                    [pads[i], pads[axes + i]].map(|pad| pad.unsigned_abs() as usize)
                }
                (Auto::Valid, _) | (Auto::Given, None) => [0, 0],
            };
            all.push(Along { kernel: kernel[i], stride, dilation, pads });
        }
        Ok(all)
    }
}
