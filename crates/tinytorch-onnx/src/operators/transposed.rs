//! Transposed convolutions.

use super::convolution::{add_bias, groups};
use super::transposed_volume::{Along, of_volume};
use super::values;
use crate::apply::{Args, Operator};
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::ConvGeometry;
use tinytorch_core::ops::ConvTranspose2d;
use tinytorch_core::tensor::{Shape, TensorError};

/// Where what is left over of the borders goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Auto {
    Given,
    SameUpper,
    SameLower,
    Valid,
}

struct Transposed {
    groups: usize,
    auto: Auto,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<usize>,
    extra: Vec<usize>,
    sizes: Option<Vec<usize>>,
}

/// Numbers of one attribute, of which none is negative.
fn numbers(node: &Node<'_>, name: &'static str) -> Reading<Option<Vec<usize>>> {
    let Some(values) = node.ints(name)? else { return Ok(None) };
    let values: Option<Vec<usize>> =
        values.iter().map(|&value| usize::try_from(value).ok()).collect();
    values.map(Some).ok_or_else(|| format!("attribute `{name}` has a negative entry"))
}

pub(super) fn conv_transpose(node: &Node<'_>) -> Reading<Operator> {
    let auto = node.choice(
        "auto_pad",
        &[
            ("NOTSET", Auto::Given),
            ("SAME_UPPER", Auto::SameUpper),
            ("SAME_LOWER", Auto::SameLower),
            ("VALID", Auto::Valid),
        ],
    )?;
    node.ints("kernel_shape")?;
    let transposed = Transposed {
        groups: groups(node)?,
        auto,
        strides: numbers(node, "strides")?.unwrap_or_default(),
        dilations: numbers(node, "dilations")?.unwrap_or_default(),
        pads: numbers(node, "pads")?.unwrap_or_default(),
        extra: numbers(node, "output_padding")?.unwrap_or_default(),
        sizes: numbers(node, "output_shape")?,
    };
    if node.constant(1).is_some_and(|weight| !(3..=5).contains(&weight.rank())) {
        return Err(
            "convolutions of signals, images and volumes are supported, of no more axes".into()
        );
    }
    Ok(Operator::one(move |args, ctx| transposed.run(args, ctx)))
}

impl Transposed {
    fn run(&self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let (op, x, weight) = ("conv_transpose", args.need(0)?, args.need(1)?);
        values::check_rank(x.shape(), 3..=5, op)?;
        values::check_rank(weight.shape(), x.shape().rank()..=x.shape().rank(), op)?;
        let along = self.along(x.shape(), weight.shape())?;
        let of_images = self.of_images(&along);
        let y = match along[..] {
            [_] => {
                let (x, weight) = (x.unsqueeze(2, ctx)?, weight.unsqueeze(2, ctx)?);
                ctx.apply(of_images, &[&x, &weight])?.squeeze(2, ctx)?
            }
            [depth, ..] if along.len() == 3 => of_volume(x, weight, &depth, of_images, ctx)?,
            _ => ctx.apply(of_images, &[x, weight])?,
        };
        match args.get(2) {
            Some(bias) => add_bias(&y, bias, ctx),
            None => Ok(y),
        }
    }

    /// The transposed convolution of images along the last two axes, of one axis as along the columns.
    fn of_images(&self, along: &[Along]) -> ConvTranspose2d {
        let mut geometry = ConvGeometry { groups: self.groups, ..ConvGeometry::default() };
        let mut extra = [0; 2];
        for (at, along) in (0..2).rev().zip(along.iter().rev()) {
            geometry.stride[at] = along.stride;
            geometry.dilation[at] = along.dilation;
            geometry.padding[at] = along.pads;
            extra[at] = along.extra;
        }
        ConvTranspose2d { geometry, extra }
    }

    /// How the convolution moves whose transpose it is, along every axis.
    fn along(&self, x: &Shape, weight: &Shape) -> Result<Vec<Along>> {
        let axes = x.rank() - 2;
        let wrong = || {
            let expected =
                "strides, dilations and borders must be possible and of its number of axes".into();
            TensorError::Shape { op: "conv_transpose", shape: *x, expected }
        };
        let entry = |list: &[usize], i: usize, default: usize| match list.len() {
            0 => Some(default),
            len if len == axes => Some(list[i]),
            _ => None,
        };
        if !self.pads.is_empty() && self.pads.len() != 2 * axes {
            return Err(wrong().into());
        }
        let mut all = Vec::with_capacity(axes);
        for i in 0..axes {
            let stride =
                entry(&self.strides, i, 1).filter(|stride| *stride > 0).ok_or_else(wrong)?;
            let dilation = entry(&self.dilations, i, 1).filter(|d| *d > 0).ok_or_else(wrong)?;
            let mut extra = entry(&self.extra, i, 0).ok_or_else(wrong)?;
            let span =
                weight[i + 2].checked_sub(1).and_then(|k| k.checked_mul(dilation)?.checked_add(1));
            let reach = x[i + 2].checked_sub(1).and_then(|n| n.checked_mul(stride));
            let full = span
                .zip(reach)
                .and_then(|(span, reach)| span.checked_add(reach)?.checked_add(extra));
            let full = full.ok_or_else(wrong)?;
            let wanted = match (&self.sizes, self.auto) {
                // Some exporters name batch and channels too.
                (Some(sizes), _) => {
                    Some(*sizes.get(sizes.len().wrapping_sub(axes - i)).ok_or_else(wrong)?)
                }
                (None, Auto::SameUpper | Auto::SameLower) => Some(x[i + 2].saturating_mul(stride)),
                (None, _) => None,
            };
            let pads = match wanted {
                Some(wanted) => {
                    extra = extra.saturating_add(wanted.saturating_sub(full));
                    let total = full.saturating_sub(wanted);
                    match self.auto {
                        Auto::SameUpper => [total / 2, total - total / 2],
                        _ => [total - total / 2, total / 2],
                    }
                }
                None if self.auto == Auto::Valid || self.pads.is_empty() => [0, 0],
                None => [self.pads[i], self.pads[axes + i]],
            };
            all.push(Along { kernel: weight[i + 2], stride, dilation, pads, extra });
        }
        Ok(all)
    }
}
